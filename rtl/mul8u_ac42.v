// 8x8 unsigned multiplier reduced by approximate 4:2 compressors.
//
// Reduction tree: rows 0-3 of the partial-product array and rows 4-7 are each reduced to a sum
// and a carry row, then these four rows to two, which an exact adder adds (modulo 2^16). In a
// column c < K, four dots go through the approximate compressor, three through a full adder,
// two through a half adder. Columns K and up use exact 4:2 compressors. K = 16 approximates
// everywhere, K = 7 (the operand width less one) only the seven low columns.
// Approximate compressor, carry-in and carry-out dropped, dots x1 to x4 paired in order:
//     sum   = (x1 xnor x2) or (x3 xnor x4)         carry = (x1 or x2) and (x3 or x4)
// It is wrong for 4 of 16 inputs: 0000 gives 1, 0011 and 1100 give 1, 1111 gives 3. So products
// with 0 are not 0.
//
// Source: A. Momeni, J. Han, P. Montuschi and F. Lombardi, "Design and analysis of approximate
// compressors for multiplication", IEEE Transactions on Computers, 64(4), 2015: compressor
// design 2, used everywhere or in the low columns as there. The tree, with its grouping by rows,
// is our own; the paper draws another one.

/* verilator lint_off DECLFILENAME */

// One layer: four rows to two. FULL marks the columns in which all four rows have a dot.
module mul8u_ac42_layer #(
    parameter K = 16,
    parameter [15:0] FULL = 16'h0000
) (
    input  [15:0] x1,
    input  [15:0] x2,
    input  [15:0] x3,
    input  [15:0] x4,
    output [15:0] sum,
    output [15:0] carry
);
    localparam [15:0] EXACT = 16'hFFFF << K;
    localparam [15:0] APPROXIMATE = ~EXACT & FULL;
    localparam [15:0] ADDER = ~EXACT & ~FULL;

    wire [15:0] approximate_sum = ~(x1 ^ x2) | ~(x3 ^ x4);
    wire [15:0] approximate_carry = (x1 | x2) & (x3 | x4);

    // At most three dots: a full or half adder, whichever rows the dots come from.
    wire [15:0] parity = x1 ^ x2 ^ x3 ^ x4;
    wire [15:0] two_or_more = (x1 & x2) | (x3 & x4) | ((x1 | x2) & (x3 | x4));

    // The exact compressor: two full adders, chained by a carry that never travels further.
    wire [15:0] first = x1 ^ x2 ^ x3;
    wire [15:0] chain_out = ((x1 & x2) | (x1 & x3) | (x2 & x3)) & EXACT;
    wire [15:0] chain_in = {chain_out[14:0], 1'b0};
    wire [15:0] exact_sum = parity ^ chain_in;
    wire [15:0] exact_carry = (first & x4) | (first & chain_in) | (x4 & chain_in);

    wire [15:0] carry_out = (approximate_carry & APPROXIMATE) | (two_or_more & ADDER)
                          | (exact_carry & EXACT);

    assign sum = (approximate_sum & APPROXIMATE) | (parity & ADDER) | (exact_sum & EXACT);
    assign carry = {carry_out[14:0], 1'b0};

    // Carries out of column 15 leave the product.
    wire unused = &{1'b0, chain_out[15], carry_out[15]};
endmodule

module mul8u_ac42 #(
    parameter K = 16
) (
    input  [7:0]  A,
    input  [7:0]  B,
    output [15:0] O
);
    wire [15:0] row0 = {8'b0, A & {8{B[0]}}};
    wire [15:0] row1 = {7'b0, A & {8{B[1]}}, 1'b0};
    wire [15:0] row2 = {6'b0, A & {8{B[2]}}, 2'b0};
    wire [15:0] row3 = {5'b0, A & {8{B[3]}}, 3'b0};
    wire [15:0] row4 = {4'b0, A & {8{B[4]}}, 4'b0};
    wire [15:0] row5 = {3'b0, A & {8{B[5]}}, 5'b0};
    wire [15:0] row6 = {2'b0, A & {8{B[6]}}, 6'b0};
    wire [15:0] row7 = {1'b0, A & {8{B[7]}}, 7'b0};

    wire [15:0] sum0;
    wire [15:0] carry0;
    wire [15:0] sum1;
    wire [15:0] carry1;
    wire [15:0] sum;
    wire [15:0] carry;

    // Rows 0-3 all reach columns 3 to 7, rows 4-7 columns 7 to 11.
    mul8u_ac42_layer #(.K(K), .FULL(16'h00F8)) low_rows (
        .x1(row0), .x2(row1), .x3(row2), .x4(row3), .sum(sum0), .carry(carry0)
    );
    mul8u_ac42_layer #(.K(K), .FULL(16'h0F80)) high_rows (
        .x1(row4), .x2(row5), .x3(row6), .x4(row7), .sum(sum1), .carry(carry1)
    );
    // sum0 reaches columns 0 to 10, carry0 2 to 10, sum1 4 to 14, carry1 6 to 14.
    mul8u_ac42_layer #(.K(K), .FULL(16'h07C0)) last (
        .x1(sum0), .x2(carry0), .x3(sum1), .x4(carry1), .sum(sum), .carry(carry)
    );

    assign O = sum + carry;
endmodule
