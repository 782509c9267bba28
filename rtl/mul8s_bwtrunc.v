// Truncated Baugh-Wooley multiplier, 8x8 signed (two's complement).
//
// The Baugh-Wooley array (in its modified form) has the dot A[i]*B[j] in column i+j, inverted
// where exactly one of i and j is 7, and two constant ones, in columns 8 and 15; its sum modulo
// 2^16 is the signed product. Every dot with i+j < K is left out, inverted or not. Both constants
// remain, for any K up to 8. Up to K = 7 only plain dots go, products with 0 stay 0 and the result
// never exceeds the exact product; K = 8 would also drop the two inverted dots of column 7.
// The ports do not say that they are signed: the name does (mul8s_), and the sidecar.
//
// Source: C. R. Baugh and B. A. Wooley, "A two's complement parallel array multiplication
// algorithm", IEEE Transactions on Computers, C-22(12), 1973, for the array; M. J. Schulte and
// E. E. Swartzlander, Jr., "Truncated multiplication with correction constant", VLSI Signal
// Processing VI, 1993, for leaving columns out.

module mul8s_bwtrunc #(
    parameter K = 6
) (
    input  [7:0]  A,
    input  [7:0]  B,
    output [15:0] O
);
    localparam [15:0] KEPT = 16'hFFFF << K;
    localparam [15:0] ONES = 16'h8100;

    wire [15:0] row0 = {8'b0, ~(A[7] & B[0]), A[6:0] & {7{B[0]}}} & KEPT;
    wire [15:0] row1 = {7'b0, ~(A[7] & B[1]), A[6:0] & {7{B[1]}}, 1'b0} & KEPT;
    wire [15:0] row2 = {6'b0, ~(A[7] & B[2]), A[6:0] & {7{B[2]}}, 2'b0} & KEPT;
    wire [15:0] row3 = {5'b0, ~(A[7] & B[3]), A[6:0] & {7{B[3]}}, 3'b0} & KEPT;
    wire [15:0] row4 = {4'b0, ~(A[7] & B[4]), A[6:0] & {7{B[4]}}, 4'b0} & KEPT;
    wire [15:0] row5 = {3'b0, ~(A[7] & B[5]), A[6:0] & {7{B[5]}}, 5'b0} & KEPT;
    wire [15:0] row6 = {2'b0, ~(A[7] & B[6]), A[6:0] & {7{B[6]}}, 6'b0} & KEPT;
    wire [15:0] row7 = {1'b0, A[7] & B[7], ~(A[6:0] & {7{B[7]}}), 7'b0} & KEPT;

    assign O = row0 + row1 + row2 + row3 + row4 + row5 + row6 + row7 + ONES;
endmodule
