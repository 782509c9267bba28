// DRUM-K, the dynamic range unbiased multiplier, 8x8 unsigned.
//
// Each operand is cut to the K bits that start at its leading one. If bits were cut off below,
// the last bit kept is set to 1, which centres the value on the range that the cut ones span
// and so removes the bias. The two K-bit segments are multiplied exactly and the product is
// shifted back. Operands below 2^K are used as they are. K is 3 to 7.
//
// Source: S. Hashemi, R. I. Bahar and S. Reda, "DRUM: a dynamic range unbiased multiplier for
// approximate applications", IEEE/ACM International Conference on Computer-Aided Design
// (ICCAD), 2015.

/* verilator lint_off DECLFILENAME */

module mul8u_drum_segment #(
    parameter K = 6
) (
    input  [7:0]   value,
    output [K-1:0] segment,
    output [2:0]   shift
);
    // The position of the leading one, and from it the number of bits cut off.
    localparam TOP = K - 1;

    wire [3:0] leading = value[7] ? 4'd7 :
                         value[6] ? 4'd6 :
                         value[5] ? 4'd5 :
                         value[4] ? 4'd4 :
                         value[3] ? 4'd3 :
                         value[2] ? 4'd2 :
                         value[1] ? 4'd1 : 4'd0;
    wire cut = leading > TOP[3:0];
    wire [3:0] bits_cut = cut ? leading - TOP[3:0] : 4'd0;
    wire [7:0] aligned = value >> bits_cut;

    assign segment = {aligned[K-1:1], aligned[0] | cut};
    assign shift = bits_cut[2:0];

    // Both are 0 by construction.
    wire unused = &{1'b0, aligned[7:K], bits_cut[3]};
endmodule

module mul8u_drum #(
    parameter K = 6
) (
    input  [7:0]  A,
    input  [7:0]  B,
    output [15:0] O
);
    wire [K-1:0] segment_a;
    wire [K-1:0] segment_b;
    wire [2:0] shift_a;
    wire [2:0] shift_b;

    mul8u_drum_segment #(.K(K)) cut_a (.value(A), .segment(segment_a), .shift(shift_a));
    mul8u_drum_segment #(.K(K)) cut_b (.value(B), .segment(segment_b), .shift(shift_b));

    wire [2*K-1:0] product = {{K{1'b0}}, segment_a} * {{K{1'b0}}, segment_b};
    wire [3:0] shift = {1'b0, shift_a} + {1'b0, shift_b};

    assign O = {{(16-2*K){1'b0}}, product} << shift;
endmodule
