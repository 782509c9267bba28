// Truncated array multiplier with correction constant, 8x8 unsigned.
//
// Every partial product A[i]*B[j] in a column i+j < K is left out, and a constant stands in for
// the mean of what is missing. With uniform operand bits a partial product is 1 with probability
// 1/4 and column q < 8 holds q+1 of them, so the mean is (1/4) * sum over q < K of (q+1)*2^q
// = ((K-1)*2^K + 1) / 4. Rounded to the nearest multiple of 2^K, the weight of the lowest column
// kept, that is floor((K+1)/4) * 2^K. The constant is added to every product: 0 * B is not 0.
// K is at most 8.
//
// Source: M. J. Schulte and E. E. Swartzlander, Jr., "Truncated multiplication with correction
// constant", VLSI Signal Processing VI, 1993. The paper also rounds the product to its upper
// half, and its constant makes up for that too; here all kept columns are output.

module mul8u_truncc #(
    parameter K = 8
) (
    input  [7:0]  A,
    input  [7:0]  B,
    output [15:0] O
);
    localparam [15:0] KEPT = 16'hFFFF << K;
    localparam CORRECTION = ((K + 1) / 4) << K;

    wire [15:0] row0 = {8'b0, A & {8{B[0]}}} & KEPT;
    wire [15:0] row1 = {7'b0, A & {8{B[1]}}, 1'b0} & KEPT;
    wire [15:0] row2 = {6'b0, A & {8{B[2]}}, 2'b0} & KEPT;
    wire [15:0] row3 = {5'b0, A & {8{B[3]}}, 3'b0} & KEPT;
    wire [15:0] row4 = {4'b0, A & {8{B[4]}}, 4'b0} & KEPT;
    wire [15:0] row5 = {3'b0, A & {8{B[5]}}, 5'b0} & KEPT;
    wire [15:0] row6 = {2'b0, A & {8{B[6]}}, 6'b0} & KEPT;
    wire [15:0] row7 = {1'b0, A & {8{B[7]}}, 7'b0} & KEPT;

    assign O = row0 + row1 + row2 + row3 + row4 + row5 + row6 + row7
             + CORRECTION[15:0];
endmodule
