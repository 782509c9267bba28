// RoBA, the rounding-based approximate multiplier, 8x8 unsigned.
//
// With Ar and Br the operands rounded to the nearest power of two, the product
// A*B = Ar*B + Br*A - Ar*Br + (Ar-A)*(Br-B) is computed without its last term, so that three
// shifts, an addition and a subtraction remain. A value half-way between two powers, 3 * 2^p,
// goes to the larger one, except that 3 goes to 2. 0 stays 0. Modulo 2^16 throughout; the result
// itself always fits 16 bits.
//
// Source: R. Zendegani, M. Kamal, M. Bahadori, A. Afzali-Kusha and M. Pedram, "RoBA multiplier:
// a rounding-based approximate multiplier for high-speed yet energy-efficient digital signal
// processing", IEEE Transactions on Very Large Scale Integration (VLSI) Systems, 25(2), 2017
// (the unsigned multiplier, U-RoBA).

/* verilator lint_off DECLFILENAME */

// The exponent of the nearest power of two, 0 to 8 (0 for value 0).
module mul8u_roba_exponent (
    input  [7:0] value,
    output [3:0] exponent
);
    assign exponent = value[7] ? (value[6] ? 4'd8 : 4'd7) :
                      value[6] ? (value[5] ? 4'd7 : 4'd6) :
                      value[5] ? (value[4] ? 4'd6 : 4'd5) :
                      value[4] ? (value[3] ? 4'd5 : 4'd4) :
                      value[3] ? (value[2] ? 4'd4 : 4'd3) :
                      value[2] ? (value[1] ? 4'd3 : 4'd2) :
                      value[1] ? 4'd1 : 4'd0;

    // 1 and 0 both get exponent 0; the top module tells them apart.
    wire unused = &{1'b0, value[0]};
endmodule

module mul8u_roba (
    input  [7:0]  A,
    input  [7:0]  B,
    output [15:0] O
);
    wire [3:0] exponent_a;
    wire [3:0] exponent_b;

    mul8u_roba_exponent round_a (.value(A), .exponent(exponent_a));
    mul8u_roba_exponent round_b (.value(B), .exponent(exponent_b));

    wire [4:0] exponent = {1'b0, exponent_a} + {1'b0, exponent_b};
    wire [15:0] ar_times_b = {8'b0, B} << exponent_a;
    wire [15:0] br_times_a = {8'b0, A} << exponent_b;
    wire [15:0] ar_times_br = 16'd1 << exponent;
    wire nonzero = |A & |B;

    assign O = (ar_times_b + br_times_a - ar_times_br) & {16{nonzero}};
endmodule
