// REALM of mantissas, M of 3 or more: Mitchell's multiplier with error-reduction factors.
//
// The square of the operands' fractions (x, y) is divided into 8 x 8 segments. For each, a constant s
// is added to Mitchell's product, 1 + x + y or 2 (x + y), such that the mean relative error of
// the segment is 0: s is the integral of 1 - mitchell / ((1 + x)(1 + y)) over that of
// 1 / ((1 + x)(1 + y)). The constants are rounded to 6 bits behind the point. They are symmetric
// in x and y. O is {carry, mantissa}, bits past the last cut off.
//
// Source: H. Saadat, H. Javaid, A. Ignjatovic and S. Parameswaran, "REALM: reduced-error
// approximate log-based integer multiplier", DATE 2020 (the method; the constants were computed
// for this file).

/* verilator lint_off DECLFILENAME */

module mant_realm_factor (
    input      [2:0] x,
    input      [2:0] y,
    output     [3:0] factor
);
    reg [31:0] row;

    // The factor for segment y is hexadecimal digit y from the right, in units of 2^-6.
    always @* begin
        case (x)
            3'd0: row = 32'h23322110;
            3'd1: row = 32'h38875421;
            3'd2: row = 32'h38CB9641;
            3'd3: row = 32'h27BEC952;
            3'd4: row = 32'h259CEB72;
            3'd5: row = 32'h1469BC83;
            3'd6: row = 32'h12457883;
            3'd7: row = 32'h01122332;
        endcase
    end

    wire [31:0] shifted = row >> {y, 2'b00};

    assign factor = shifted[3:0];

    wire unused = &{1'b0, shifted[31:4]};
endmodule

module mant_realm #(
    parameter M = 7
) (
    input  [M-1:0] A,
    input  [M-1:0] B,
    output [M:0]   O
);
    // Fraction bits that hold the factors.
    localparam F = (M < 6) ? 6 : M;

    wire [3:0] factor;

    mant_realm_factor of_segment (.x(A[M-1:M-3]), .y(B[M-1:M-3]), .factor(factor));

    wire [F:0]   x = {1'b0, A, {(F-M){1'b0}}};
    wire [F:0]   y = {1'b0, B, {(F-M){1'b0}}};
    wire [F:0]   sum = x + y;
    wire [F+1:0] mitchell = sum[F] ? {sum, 1'b0} : {2'b01, sum[F-1:0]};
    // Below 4 for all operands: the factors of the last segments are small enough.
    wire [F+1:0] product = mitchell + ({{(F-2){1'b0}}, factor} << (F - 6));
    wire         carry = product[F+1];

    assign O = {carry, carry ? product[F:F-M+1] : product[F-1:F-M]};

    wire unused = &{1'b0, product};
endmodule
