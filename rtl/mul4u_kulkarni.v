// Underdesigned 4x4 unsigned multiplier, built from inaccurate 2x2 blocks.
//
// The 2x2 block answers 3 * 3 = 7 instead of 9 and is exact otherwise, so three output bits
// suffice. Four blocks multiply the halves of the operands; exact adders sum their results.
//
// Source: P. Kulkarni, P. Gupta and M. Ercegovac, "Trading accuracy for power with an
// underdesigned multiplier architecture", International Conference on VLSI Design, 2011.

/* verilator lint_off DECLFILENAME */

module mul4u_kulkarni_2x2 (
    input  [1:0] a,
    input  [1:0] b,
    output [2:0] o
);
    assign o = {a[1] & b[1], (a[1] & b[0]) | (a[0] & b[1]), a[0] & b[0]};
endmodule

module mul4u_kulkarni (
    input  [3:0] A,
    input  [3:0] B,
    output [7:0] O
);
    wire [2:0] low_low;
    wire [2:0] high_low;
    wire [2:0] low_high;
    wire [2:0] high_high;

    mul4u_kulkarni_2x2 block_ll (.a(A[1:0]), .b(B[1:0]), .o(low_low));
    mul4u_kulkarni_2x2 block_hl (.a(A[3:2]), .b(B[1:0]), .o(high_low));
    mul4u_kulkarni_2x2 block_lh (.a(A[1:0]), .b(B[3:2]), .o(low_high));
    mul4u_kulkarni_2x2 block_hh (.a(A[3:2]), .b(B[3:2]), .o(high_high));

    assign O = {5'b0, low_low} + {3'b0, high_low, 2'b0} + {3'b0, low_high, 2'b0}
             + {1'b0, high_high, 4'b0};
endmodule
