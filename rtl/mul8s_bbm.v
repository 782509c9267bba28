// Broken-Booth multiplier, 8x8 signed (two's complement).
//
// B is recoded into four radix-4 Booth digits d(i) in -2 ... 2; row i of the array is d(i)*A in
// columns 2i and up, sign-extended to column 15. A negative row is the bitwise inverse of |d|*A
// plus a correction bit in column 2i. Every bit in a column below K is left out, correction bits
// included; the rest is added exactly modulo 2^16. K = 0 is exact. Only B is recoded, so A and B
// are not interchangeable, and for some B the product 0 * B is not 0.
//
// Source: A. D. Booth's recoding as modified by O. L. MacSorley, "High-speed arithmetic in binary
// computers", Proceedings of the IRE, 49(1), 1961; breaking its array at a vertical line after
// F. Farshchi, M. S. Abrishami and S. M. Fakhraie, "New approximate multiplier for low power
// digital signal processing", International Symposium on Computer Architecture and Digital
// Systems (CADS), 2013. What happens to the correction bits is as said above, not theirs.

/* verilator lint_off DECLFILENAME */

// Row of one digit, not yet shifted: the inverse is taken here, `negative` still has to be added.
module mul8s_bbm_row (
    input  [7:0]  a,
    input  [2:0]  triplet,
    output [15:0] row,
    output        negative
);
    wire one = triplet[1] ^ triplet[0];
    wire two = (triplet == 3'b011) | (triplet == 3'b100);
    wire [15:0] multiple = ({{8{a[7]}}, a} & {16{one}}) | ({{7{a[7]}}, a, 1'b0} & {16{two}});

    assign negative = triplet[2] & (one | two);
    assign row = multiple ^ {16{negative}};
endmodule

module mul8s_bbm #(
    parameter K = 6
) (
    input  [7:0]  A,
    input  [7:0]  B,
    output [15:0] O
);
    localparam [15:0] KEPT = 16'hFFFF << K;

    wire [15:0] row0;
    wire [15:0] row1;
    wire [15:0] row2;
    wire [15:0] row3;
    wire [3:0] negative;

    mul8s_bbm_row digit0 (.a(A), .triplet({B[1:0], 1'b0}), .row(row0), .negative(negative[0]));
    mul8s_bbm_row digit1 (.a(A), .triplet(B[3:1]), .row(row1), .negative(negative[1]));
    mul8s_bbm_row digit2 (.a(A), .triplet(B[5:3]), .row(row2), .negative(negative[2]));
    mul8s_bbm_row digit3 (.a(A), .triplet(B[7:5]), .row(row3), .negative(negative[3]));

    wire [15:0] corrections = {9'b0, negative[3], 1'b0, negative[2], 1'b0, negative[1], 1'b0,
                               negative[0]};

    assign O = (row0 & KEPT) + ((row1 << 2) & KEPT) + ((row2 << 4) & KEPT) + ((row3 << 6) & KEPT)
             + (corrections & KEPT);
endmodule
