// Truncated array multiplier, 7x7 unsigned.
//
// The partial product A[i]*B[j] has weight 2^(i+j) and stands in column i+j of the array.
// Every partial product with i+j < K is left out and nothing makes up for it: the K low bits of
// the product are 0 and the result never exceeds the exact product. K = 0 is exact.
// Row j of the array is A*B[j] shifted left by j, so leaving out a column is masking its bit.
//
// Source: M. J. Schulte and E. E. Swartzlander, Jr., "Truncated multiplication with correction
// constant", VLSI Signal Processing VI, 1993 (here without the correction constant).

module mul7u_trunc #(
    parameter K = 5
) (
    input  [6:0]  A,
    input  [6:0]  B,
    output [13:0] O
);
    localparam [13:0] KEPT = {14{1'b1}} << K;

    wire [13:0] row0 = {7'b0, A & {7{B[0]}}} & KEPT;
    wire [13:0] row1 = {6'b0, A & {7{B[1]}}, 1'b0} & KEPT;
    wire [13:0] row2 = {5'b0, A & {7{B[2]}}, 2'b0} & KEPT;
    wire [13:0] row3 = {4'b0, A & {7{B[3]}}, 3'b0} & KEPT;
    wire [13:0] row4 = {3'b0, A & {7{B[4]}}, 4'b0} & KEPT;
    wire [13:0] row5 = {2'b0, A & {7{B[5]}}, 5'b0} & KEPT;
    wire [13:0] row6 = {1'b0, A & {7{B[6]}}, 6'b0} & KEPT;

    assign O = row0 + row1 + row2 + row3 + row4 + row5 + row6;
endmodule
