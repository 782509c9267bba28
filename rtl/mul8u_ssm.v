// Static segment method (SSM), 8x8 unsigned, K-bit segments.
//
// An operand below 2^K is used as it is; any other is replaced by its K upper bits, the 8-K lower
// ones dropped. The two K-bit segments are multiplied exactly and the product is shifted left by
// 8-K for each upper segment. Only two segment positions exist, so no leading-one detector is
// needed. K is 4 to 7, so that the two segments cover the operand.
//
// Source: S. Narayanamoorthy, H. A. Moghaddam, Z. Liu, T. Park and N. S. Kim, "Energy-efficient
// approximate multiplication for digital signal processing and classification applications",
// IEEE Transactions on Very Large Scale Integration (VLSI) Systems, 23(6), 2015.

module mul8u_ssm #(
    parameter K = 4
) (
    input  [7:0]  A,
    input  [7:0]  B,
    output [15:0] O
);
    wire upper_a = |A[7:K];
    wire upper_b = |B[7:K];
    wire [K-1:0] segment_a = upper_a ? A[7:8-K] : A[K-1:0];
    wire [K-1:0] segment_b = upper_b ? B[7:8-K] : B[K-1:0];
    wire [2*K-1:0] product = {{K{1'b0}}, segment_a} * {{K{1'b0}}, segment_b};

    wire [15:0] unshifted = {{(16-2*K){1'b0}}, product};
    wire [15:0] shifted = upper_a ? unshifted << (8 - K) : unshifted;

    assign O = upper_b ? shifted << (8 - K) : shifted;
endmodule
