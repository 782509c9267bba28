// Array multiplier whose low columns are compressed by OR gates, 8x8 unsigned.
//
// In each column c < K one OR over all partial products A[i]*B[j] with i+j = c gives the product
// bit c; no carry leaves those columns. The partial products of columns K and up are added
// exactly. A low column is wrong only if it holds two or more ones, and then it falls short, so
// the result never exceeds the exact product.
//
// Source: the OR of the lower-part-OR adder (H. R. Mahdiani, A. Ahmadi, S. M. Fakhraie and
// C. Lucas, "Bio-inspired imprecise computational blocks for efficient VLSI implementation of
// soft-computing applications", IEEE Transactions on Circuits and Systems I, 57(4), 2010),
// applied to whole columns of the partial-product array.

module mul8u_orcomp #(
    parameter K = 6
) (
    input  [7:0]  A,
    input  [7:0]  B,
    output [15:0] O
);
    localparam [15:0] EXACT = 16'hFFFF << K;

    wire [15:0] row0 = {8'b0, A & {8{B[0]}}};
    wire [15:0] row1 = {7'b0, A & {8{B[1]}}, 1'b0};
    wire [15:0] row2 = {6'b0, A & {8{B[2]}}, 2'b0};
    wire [15:0] row3 = {5'b0, A & {8{B[3]}}, 3'b0};
    wire [15:0] row4 = {4'b0, A & {8{B[4]}}, 4'b0};
    wire [15:0] row5 = {3'b0, A & {8{B[5]}}, 5'b0};
    wire [15:0] row6 = {2'b0, A & {8{B[6]}}, 6'b0};
    wire [15:0] row7 = {1'b0, A & {8{B[7]}}, 7'b0};

    wire [15:0] low = row0 | row1 | row2 | row3 | row4 | row5 | row6 | row7;
    wire [15:0] high = (row0 & EXACT) + (row1 & EXACT) + (row2 & EXACT) + (row3 & EXACT)
                     + (row4 & EXACT) + (row5 & EXACT) + (row6 & EXACT) + (row7 & EXACT);

    assign O = high | (low & ~EXACT);
endmodule
