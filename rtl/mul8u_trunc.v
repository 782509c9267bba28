// Truncated array multiplier, 8x8 unsigned.
//
// The partial product A[i]*B[j] has weight 2^(i+j) and stands in column i+j of the array.
// Every partial product with i+j < K is left out and nothing makes up for it: the K low bits of
// the product are 0 and the result never exceeds the exact product. K = 0 is exact.
// Row j of the array is A*B[j] shifted left by j, so leaving out a column is masking its bit.
//
// Source: M. J. Schulte and E. E. Swartzlander, Jr., "Truncated multiplication with correction
// constant", VLSI Signal Processing VI, 1993 (here without the correction constant).

module mul8u_trunc #(
    parameter K = 6
) (
    input  [7:0]  A,
    input  [7:0]  B,
    output [15:0] O
);
    localparam [15:0] KEPT = {16{1'b1}} << K;

    wire [15:0] row0 = {8'b0, A & {8{B[0]}}} & KEPT;
    wire [15:0] row1 = {7'b0, A & {8{B[1]}}, 1'b0} & KEPT;
    wire [15:0] row2 = {6'b0, A & {8{B[2]}}, 2'b0} & KEPT;
    wire [15:0] row3 = {5'b0, A & {8{B[3]}}, 3'b0} & KEPT;
    wire [15:0] row4 = {4'b0, A & {8{B[4]}}, 4'b0} & KEPT;
    wire [15:0] row5 = {3'b0, A & {8{B[5]}}, 5'b0} & KEPT;
    wire [15:0] row6 = {2'b0, A & {8{B[6]}}, 6'b0} & KEPT;
    wire [15:0] row7 = {1'b0, A & {8{B[7]}}, 7'b0} & KEPT;

    assign O = row0 + row1 + row2 + row3 + row4 + row5 + row6 + row7;
endmodule
