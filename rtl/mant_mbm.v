// Minimally biased multiplier of mantissas (MBM, also AFM), M of 2 or more.
//
// Mitchell's multiplier falls short of the exact product; a constant, 2^-4 + 2^-6, close to the
// mean of what is missing, is added to the sum of the fractions, halved if that sum has set the
// carry. The last bit of both operands is taken as 1: it stands for the bits cut off below. Where
// a sum with carry would leave its range, the constant is left out; a sum without carry that
// reaches 1 becomes one with carry. O is {carry, mantissa}, bits past the last cut off.
//
// Source: H. Saadat, H. Bokhari and S. Parameswaran, "Minimally biased multipliers for approximate
// integer and floating-point multiplication", IEEE Transactions on CAD, 37(11), 2018; details as
// in the AFM tables of J. Gong, H. Saadat et al., "ApproxTrain: fast simulation of approximate
// multipliers for DNN training and inference", IEEE Transactions on CAD, 42(11), 2023.

/* verilator lint_off DECLFILENAME */

module mant_mbm #(
    parameter M = 7
) (
    input  [M-1:0] A,
    input  [M-1:0] B,
    output [M:0]   O
);
    // Fraction bits that hold half the constant, 2^-5 + 2^-7.
    localparam F = (M < 7) ? 7 : M;
    localparam [F:0] CONSTANT = {{F{1'b0}}, 1'b1} * 5 << (F - 6);

    wire [F:0] x = {1'b0, A[M-1:1], 1'b1, {(F-M){1'b0}}};
    wire [F:0] y = {1'b0, B[M-1:1], 1'b1, {(F-M){1'b0}}};
    wire [F:0] sum = x + y;
    wire       carry = sum[F];
    wire [F:0] corrected = {1'b0, sum[F-1:0]} + (carry ? CONSTANT >> 1 : CONSTANT);
    wire       over = corrected[F];

    // Without carry, 1 + corrected >= 2 is 2 * (1 + (corrected - 1) / 2).
    wire [M-1:0] fraction = !over ? corrected[F-1:F-M] :
                            carry ? sum[F-1:F-M] :
                                    {1'b0, corrected[F-1:F-M+1]};

    assign O = {carry | over, fraction};

    wire unused = &{1'b0, A[0], B[0], corrected, sum};
endmodule
