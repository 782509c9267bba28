// Broken-array multiplier (BAM), 8x8 unsigned.
//
// Two lines break the carry-save array: cells above the horizontal line (the first H rows, row j
// being the one of B[j]) and cells to the right of the vertical line (the V low columns) are
// omitted. Rule as built here: the partial product A[i]*B[j] is left out exactly if
// j < H or i+j < V; all others are added exactly. Clearing B[j] removes row j, masking a row's
// low bits removes columns. H = V = 0 is exact; for H > 0 the operands are not interchangeable.
//
// Source: H. R. Mahdiani, A. Ahmadi, S. M. Fakhraie and C. Lucas, "Bio-inspired imprecise
// computational blocks for efficient VLSI implementation of soft-computing applications",
// IEEE Transactions on Circuits and Systems I, 57(4), 2010.

module mul8u_bam #(
    parameter H = 2,
    parameter V = 4
) (
    input  [7:0]  A,
    input  [7:0]  B,
    output [15:0] O
);
    localparam [7:0]  ROWS_KEPT = 8'hFF << H;
    localparam [15:0] COLUMNS_KEPT = 16'hFFFF << V;

    wire [7:0] kept = B & ROWS_KEPT;

    wire [15:0] row0 = {8'b0, A & {8{kept[0]}}} & COLUMNS_KEPT;
    wire [15:0] row1 = {7'b0, A & {8{kept[1]}}, 1'b0} & COLUMNS_KEPT;
    wire [15:0] row2 = {6'b0, A & {8{kept[2]}}, 2'b0} & COLUMNS_KEPT;
    wire [15:0] row3 = {5'b0, A & {8{kept[3]}}, 3'b0} & COLUMNS_KEPT;
    wire [15:0] row4 = {4'b0, A & {8{kept[4]}}, 4'b0} & COLUMNS_KEPT;
    wire [15:0] row5 = {3'b0, A & {8{kept[5]}}, 5'b0} & COLUMNS_KEPT;
    wire [15:0] row6 = {2'b0, A & {8{kept[6]}}, 6'b0} & COLUMNS_KEPT;
    wire [15:0] row7 = {1'b0, A & {8{kept[7]}}, 7'b0} & COLUMNS_KEPT;

    assign O = row0 + row1 + row2 + row3 + row4 + row5 + row6 + row7;
endmodule
