// Exact 8x8 unsigned multiplier: O = A * B.
//
// The multiplication operator leaves the structure to the synthesis tool. Every unsigned 8x8
// design of this folder is measured against this one.
//
// Source: the definition of unsigned multiplication; no approximation.

module mul8u_exact (
    input  [7:0]  A,
    input  [7:0]  B,
    output [15:0] O
);
    assign O = {8'b0, A} * {8'b0, B};
endmodule
