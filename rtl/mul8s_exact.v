// Exact 8x8 signed multiplier (two's complement): O = A * B.
//
// The ports carry the `signed` keyword, so the language itself extends the operands.
// Every signed 8x8 design of this folder is measured against this one.
//
// Source: the definition of two's complement multiplication; no approximation.

module mul8s_exact (
    input  signed [7:0]  A,
    input  signed [7:0]  B,
    output signed [15:0] O
);
    wire signed [15:0] wide_a = {{8{A[7]}}, A};
    wire signed [15:0] wide_b = {{8{B[7]}}, B};

    assign O = wide_a * wide_b;
endmodule
