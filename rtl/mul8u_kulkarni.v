// Underdesigned 8x8 unsigned multiplier, built recursively from inaccurate 2x2 blocks.
//
// The 2x2 block answers 3 * 3 = 7 instead of 9 and is exact otherwise. Four blocks make a 4x4
// multiplier and four of those the 8x8 one; all adders are exact. The result never exceeds the
// exact product, and falls short of it by at most 2/9.
//
// Source: P. Kulkarni, P. Gupta and M. Ercegovac, "Trading accuracy for power with an
// underdesigned multiplier architecture", International Conference on VLSI Design, 2011.

/* verilator lint_off DECLFILENAME */

module mul8u_kulkarni_2x2 (
    input  [1:0] a,
    input  [1:0] b,
    output [2:0] o
);
    assign o = {a[1] & b[1], (a[1] & b[0]) | (a[0] & b[1]), a[0] & b[0]};
endmodule

module mul8u_kulkarni_4x4 (
    input  [3:0] a,
    input  [3:0] b,
    output [7:0] o
);
    wire [2:0] low_low;
    wire [2:0] high_low;
    wire [2:0] low_high;
    wire [2:0] high_high;

    mul8u_kulkarni_2x2 block_ll (.a(a[1:0]), .b(b[1:0]), .o(low_low));
    mul8u_kulkarni_2x2 block_hl (.a(a[3:2]), .b(b[1:0]), .o(high_low));
    mul8u_kulkarni_2x2 block_lh (.a(a[1:0]), .b(b[3:2]), .o(low_high));
    mul8u_kulkarni_2x2 block_hh (.a(a[3:2]), .b(b[3:2]), .o(high_high));

    assign o = {5'b0, low_low} + {3'b0, high_low, 2'b0} + {3'b0, low_high, 2'b0}
             + {1'b0, high_high, 4'b0};
endmodule

module mul8u_kulkarni (
    input  [7:0]  A,
    input  [7:0]  B,
    output [15:0] O
);
    wire [7:0] low_low;
    wire [7:0] high_low;
    wire [7:0] low_high;
    wire [7:0] high_high;

    mul8u_kulkarni_4x4 quarter_ll (.a(A[3:0]), .b(B[3:0]), .o(low_low));
    mul8u_kulkarni_4x4 quarter_hl (.a(A[7:4]), .b(B[3:0]), .o(high_low));
    mul8u_kulkarni_4x4 quarter_lh (.a(A[3:0]), .b(B[7:4]), .o(low_high));
    mul8u_kulkarni_4x4 quarter_hh (.a(A[7:4]), .b(B[7:4]), .o(high_high));

    assign O = {8'b0, low_low} + {4'b0, high_low, 4'b0} + {4'b0, low_high, 4'b0}
             + {high_high, 8'b0};
endmodule
