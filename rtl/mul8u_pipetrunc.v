// Truncated array multiplier in three pipeline stages, 8x8 unsigned.
//
// New operands at every rising edge of clk; their product stands in O after the third edge, the
// one that takes them included. Columns below K of the partial-product array are left out, as in
// mul8u_trunc: the K low bits of the product are 0.
//   Stage 1: the operands are registered.
//   Stage 2: rows 0 to 3 and rows 4 to 7 are summed.
//   Stage 3: the two sums are added.
// The reset clears the product; the stages before it follow from the operands.
//
// Source: M. J. Schulte and E. E. Swartzlander, Jr., "Truncated multiplication with correction
// constant", VLSI Signal Processing VI, 1993 (here without the correction constant, pipelined).

module mul8u_pipetrunc #(
    parameter K = 6
) (
    input             clk,
    input             rst_n,
    input      [7:0]  A,
    input      [7:0]  B,
    output reg [15:0] O
);
    localparam [15:0] KEPT = {16{1'b1}} << K;

    reg [7:0] a, b;

    wire [15:0] row0 = {8'b0, a & {8{b[0]}}} & KEPT;
    wire [15:0] row1 = {7'b0, a & {8{b[1]}}, 1'b0} & KEPT;
    wire [15:0] row2 = {6'b0, a & {8{b[2]}}, 2'b0} & KEPT;
    wire [15:0] row3 = {5'b0, a & {8{b[3]}}, 3'b0} & KEPT;
    wire [15:0] row4 = {4'b0, a & {8{b[4]}}, 4'b0} & KEPT;
    wire [15:0] row5 = {3'b0, a & {8{b[5]}}, 5'b0} & KEPT;
    wire [15:0] row6 = {2'b0, a & {8{b[6]}}, 6'b0} & KEPT;
    wire [15:0] row7 = {1'b0, a & {8{b[7]}}, 7'b0} & KEPT;

    reg [15:0] low, high;

    always @(posedge clk) begin
        a <= A;
        b <= B;
        low <= row0 + row1 + row2 + row3;
        high <= row4 + row5 + row6 + row7;
        if (!rst_n)
            O <= 16'b0;
        else
            O <= low + high;
    end
endmodule
