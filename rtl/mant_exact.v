// Exact multiplier of mantissas, truncating.
//
// A and B are the M bits below the leading ones of two significands, 1 + A / 2^M and 1 + B / 2^M.
// O is {carry, mantissa}: the product is (1 + mantissa / 2^M) * 2^carry, its bits past the last
// cut off.
//
// Source: IEEE Std 754-2019, IEEE Standard for Floating-Point Arithmetic (multiplication, with
// rounding toward zero, of significands of M + 1 bits).

/* verilator lint_off DECLFILENAME */

module mant_exact #(
    parameter M = 7
) (
    input  [M-1:0] A,
    input  [M-1:0] B,
    output [M:0]   O
);
    wire [2*M+1:0] product = {{(M+1){1'b0}}, 1'b1, A} * {{(M+1){1'b0}}, 1'b1, B};
    wire           carry   = product[2*M+1];

    assign O = {carry, carry ? product[2*M:M+1] : product[2*M-1:M]};

    // What is cut off.
    wire unused = &{1'b0, product[M-1:0]};
endmodule
