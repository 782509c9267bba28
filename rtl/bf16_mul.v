// Multiplier of bfloat16 numbers, complete: sign, 8 bits of exponent, 7 of mantissa.
//
// The significands are multiplied exactly and cut off (MBM = 0), or by the minimally biased
// multiplier (MBM = 1; see mant_mbm.v). Subnormal operands count as zeros, and products below the
// least normal number are zeros, of the right sign; products past the greatest number are
// infinite. NaN times anything, and infinity times zero (or subnormal), is the quiet NaN 0x7FC0.
//
// Source: format and special operands after IEEE Std 754-2019 with 8 and 7 bits (bfloat16);
// H. Saadat, H. Bokhari and S. Parameswaran, "Minimally biased multipliers for approximate
// integer and floating-point multiplication", IEEE Transactions on CAD, 37(11), 2018.

/* verilator lint_off DECLFILENAME */

module bf16_mul_exact (
    input  [6:0] a,
    input  [6:0] b,
    output       carry,
    output [6:0] mantissa
);
    wire [15:0] product = {8'b0, 1'b1, a} * {8'b0, 1'b1, b};

    assign carry = product[15];
    assign mantissa = carry ? product[14:8] : product[13:7];

    wire unused = &{1'b0, product[6:0]};
endmodule

module bf16_mul_mbm (
    input  [6:0] a,
    input  [6:0] b,
    output       carry,
    output [6:0] mantissa
);
    wire [7:0] sum = {1'b0, a[6:1], 1'b1} + {1'b0, b[6:1], 1'b1};
    // 2^-4 + 2^-6, halved where the sum of the fractions is 1 or more.
    wire [7:0] corrected = {1'b0, sum[6:0]} + (sum[7] ? 8'd5 : 8'd10);

    assign carry = sum[7] | corrected[7];
    assign mantissa = !corrected[7] ? corrected[6:0] :
                      sum[7]        ? sum[6:0] :
                                      {1'b0, corrected[6:1]};

    wire unused = &{1'b0, a[0], b[0]};
endmodule

module bf16_mul #(
    parameter MBM = 0
) (
    input  [15:0] A,
    input  [15:0] B,
    output [15:0] O
);
    wire       sign = A[15] ^ B[15];
    wire [7:0] exponent_a = A[14:7];
    wire [7:0] exponent_b = B[14:7];
    wire       zero_a = exponent_a == 8'd0;
    wire       zero_b = exponent_b == 8'd0;
    wire       top_a = exponent_a == 8'd255;
    wire       top_b = exponent_b == 8'd255;
    wire       nan_a = top_a & |A[6:0];
    wire       nan_b = top_b & |B[6:0];
    wire       not_a_number = nan_a | nan_b | (top_a & zero_b) | (top_b & zero_a);

    wire       carry;
    wire [6:0] mantissa;

    generate
        if (MBM != 0) begin : g_mbm
            bf16_mul_mbm core (.a(A[6:0]), .b(B[6:0]), .carry(carry), .mantissa(mantissa));
        end else begin : g_exact
            bf16_mul_exact core (.a(A[6:0]), .b(B[6:0]), .carry(carry), .mantissa(mantissa));
        end
    endgenerate

    // The sum of the biased exponents; the product's is 127 less.
    wire [9:0] sum = {2'b0, exponent_a} + {2'b0, exponent_b} + {9'b0, carry};
    wire [9:0] exponent = sum - 10'd127;
    wire       infinite = top_a | top_b | (sum >= 10'd382);
    wire       zero = zero_a | zero_b | (sum < 10'd128);

    assign O = not_a_number ? 16'h7FC0 :
               infinite     ? {sign, 8'hFF, 7'b0} :
               zero         ? {sign, 15'b0} :
                              {sign, exponent[7:0], mantissa};

    wire unused = &{1'b0, exponent[9:8]};
endmodule
