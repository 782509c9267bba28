// Truncated array multiplier, 4x4 unsigned.
//
// The partial product A[i]*B[j] has weight 2^(i+j) and stands in column i+j of the array.
// Every partial product with i+j < K is left out and nothing makes up for it: the K low bits of
// the product are 0 and the result never exceeds the exact product. K = 0 is exact.
// Row j of the array is A*B[j] shifted left by j, so leaving out a column is masking its bit.
//
// Source: M. J. Schulte and E. E. Swartzlander, Jr., "Truncated multiplication with correction
// constant", VLSI Signal Processing VI, 1993 (here without the correction constant).

module mul4u_trunc #(
    parameter K = 3
) (
    input  [3:0]  A,
    input  [3:0]  B,
    output [7:0] O
);
    localparam [7:0] KEPT = {8{1'b1}} << K;

    wire [7:0] row0 = {4'b0, A & {4{B[0]}}} & KEPT;
    wire [7:0] row1 = {3'b0, A & {4{B[1]}}, 1'b0} & KEPT;
    wire [7:0] row2 = {2'b0, A & {4{B[2]}}, 2'b0} & KEPT;
    wire [7:0] row3 = {1'b0, A & {4{B[3]}}, 3'b0} & KEPT;

    assign O = row0 + row1 + row2 + row3;
endmodule
