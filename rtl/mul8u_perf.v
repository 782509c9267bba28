// Partial product perforation, 8x8 unsigned.
//
// Row j of the partial-product array is A * B[j] * 2^j. The K successive rows J, J+1, ..., J+K-1
// are not generated at all; the rest is added exactly. That equals the exact product of A and of
// B with those K bits cleared, so A and B are not interchangeable.
//
// Source: G. Zervakis, K. Tsoumanis, S. Xydis, D. Soudris and K. Pekmestzi, "Design-efficient
// approximate multiplication circuits through partial product perforation", IEEE Transactions
// on Very Large Scale Integration (VLSI) Systems, 24(10), 2016.

module mul8u_perf #(
    parameter J = 0,
    parameter K = 2
) (
    input  [7:0]  A,
    input  [7:0]  B,
    output [15:0] O
);
    localparam [7:0] PERFORATED = ~(8'hFF << K) << J;

    wire [7:0] kept = B & ~PERFORATED;

    wire [15:0] row0 = {8'b0, A & {8{kept[0]}}};
    wire [15:0] row1 = {7'b0, A & {8{kept[1]}}, 1'b0};
    wire [15:0] row2 = {6'b0, A & {8{kept[2]}}, 2'b0};
    wire [15:0] row3 = {5'b0, A & {8{kept[3]}}, 3'b0};
    wire [15:0] row4 = {4'b0, A & {8{kept[4]}}, 4'b0};
    wire [15:0] row5 = {3'b0, A & {8{kept[5]}}, 5'b0};
    wire [15:0] row6 = {2'b0, A & {8{kept[6]}}, 6'b0};
    wire [15:0] row7 = {1'b0, A & {8{kept[7]}}, 7'b0};

    assign O = row0 + row1 + row2 + row3 + row4 + row5 + row6 + row7;
endmodule
