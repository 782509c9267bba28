// Mitchell's logarithmic multiplier, 8x8 unsigned.
//
// With A = 2^k * (1 + x), 0 <= x < 1, the binary logarithm of A is taken as k + x. The two
// logarithms are added and the sum, k + x again, is turned back into 2^k * (1 + x). The fraction
// keeps all 7 bits, so the only error is that of the straight-line logarithm; every result is an
// integer, nothing is rounded. Products with 0 are 0. The result never exceeds the exact product,
// and falls short of it by at most 1/9.
//
// Source: J. N. Mitchell, Jr., "Computer multiplication and division using binary logarithms",
// IRE Transactions on Electronic Computers, EC-11(4), 1962.

/* verilator lint_off DECLFILENAME */

module mul8u_mitchell_log (
    input  [7:0] value,
    output [9:0] log
);
    wire [2:0] leading = value[7] ? 3'd7 :
                         value[6] ? 3'd6 :
                         value[5] ? 3'd5 :
                         value[4] ? 3'd4 :
                         value[3] ? 3'd3 :
                         value[2] ? 3'd2 :
                         value[1] ? 3'd1 : 3'd0;
    wire [7:0] normalised = value << (3'd7 - leading);

    assign log = {leading, normalised[6:0]};

    // The leading one itself; the fraction follows it.
    wire unused = &{1'b0, normalised[7]};
endmodule

module mul8u_mitchell (
    input  [7:0]  A,
    input  [7:0]  B,
    output [15:0] O
);
    wire [9:0] log_a;
    wire [9:0] log_b;

    mul8u_mitchell_log log_of_a (.value(A), .log(log_a));
    mul8u_mitchell_log log_of_b (.value(B), .log(log_b));

    wire [10:0] log = {1'b0, log_a} + {1'b0, log_b};
    wire [22:0] power = {15'b0, 1'b1, log[6:0]} << log[10:7];
    wire nonzero = |A & |B;

    assign O = power[22:7] & {16{nonzero}};

    // The seven bits below the binary point, all 0.
    wire unused = &{1'b0, power[6:0]};
endmodule
