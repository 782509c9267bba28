// DRUM, dynamic range unbiased multiplier, 16x16 unsigned.
//
// Of each operand only the K bits from its leading one down are multiplied; the last of these is set
// to 1 where bits below it are left out, which makes the mean of what is left out come out right.
// The product is shifted back into place. Operands of at most K bits are multiplied exactly.
//
// Source: S. Hashemi, R. I. Bahar and S. Reda, "DRUM: a dynamic range unbiased multiplier for
// approximate applications", ICCAD 2015.

/* verilator lint_off DECLFILENAME */

module mul16u_drum_operand #(
    parameter K = 6
) (
    input      [15:0]  value,
    output reg [K-1:0] segment,
    output reg [3:0]   shift
);
    integer i;

    always @* begin
        segment = value[K-1:0];
        shift   = 4'd0;
        for (i = K; i < 16; i = i + 1)
            if (value[i]) begin
                segment = value[i-K+1 +: K] | {{(K-1){1'b0}}, 1'b1};
                shift   = i[3:0] - (K[3:0] - 4'd1);
            end
    end
endmodule

module mul16u_drum #(
    parameter K = 6
) (
    input  [15:0] A,
    input  [15:0] B,
    output [31:0] O
);
    wire [K-1:0] segment_a;
    wire [K-1:0] segment_b;
    wire [3:0]   shift_a;
    wire [3:0]   shift_b;

    mul16u_drum_operand #(.K(K)) of_a (.value(A), .segment(segment_a), .shift(shift_a));
    mul16u_drum_operand #(.K(K)) of_b (.value(B), .segment(segment_b), .shift(shift_b));

    wire [31:0] wide_a = {{(32-K){1'b0}}, segment_a};
    wire [31:0] wide_b = {{(32-K){1'b0}}, segment_b};

    assign O = (wide_a * wide_b) << ({1'b0, shift_a} + {1'b0, shift_b});
endmodule
