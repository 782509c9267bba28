// Mitchell's logarithmic multiplier of mantissas.
//
// The binary logarithm of 1 + x is taken as x, so the fractions of the two operands are added; a
// sum of 1 or more sets the carry. O is {carry, mantissa}; nothing is cut off. The product never
// exceeds the exact one, and falls short of it by at most 1/9.
//
// Source: J. N. Mitchell, Jr., "Computer multiplication and division using binary logarithms",
// IRE Transactions on Electronic Computers, EC-11(4), 1962; as a multiplier of significands:
// H. Saadat, H. Bokhari and S. Parameswaran, "Minimally biased multipliers for approximate integer
// and floating-point multiplication", IEEE Transactions on CAD, 37(11), 2018.

/* verilator lint_off DECLFILENAME */

module mant_mitchell #(
    parameter M = 7
) (
    input  [M-1:0] A,
    input  [M-1:0] B,
    output [M:0]   O
);
    assign O = {1'b0, A} + {1'b0, B};
endmodule
