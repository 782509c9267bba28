// Serial shift-and-add multiplier, 8x8 unsigned, that leaves out the SKIP low bits of B.
//
// start takes the operands at a rising edge of clk. Then, bit by bit of B from bit SKIP up, the
// shifted A is added to the sum where the bit is 1. As soon as no 1 is left in B the sum is put out
// and done is 1 for one cycle: an operation takes 2 cycles and one more for each bit of B from
// SKIP to the highest 1. A start in the meantime is ignored. SKIP = 0 is exact; otherwise the
// product is A * (B with its SKIP low bits cleared), in SKIP cycles less.
//
// Source: D. A. Patterson and J. L. Hennessy, "Computer Organization and Design", the chapter on
// arithmetic (sequential multiplication); ending early and skipping rows are additions.

module mul8u_serial #(
    parameter SKIP = 0
) (
    input             clk,
    input             rst,
    input             start,
    input      [7:0]  A,
    input      [7:0]  B,
    output reg [15:0] O,
    output reg        done
);
    reg        busy;
    reg [15:0] shifted;
    reg [15:0] sum;
    reg [7:0]  left;

    always @(posedge clk) begin
        done <= 1'b0;
        if (rst) begin
            busy <= 1'b0;
            O <= 16'b0;
        end else if (!busy) begin
            if (start) begin
                busy <= 1'b1;
                shifted <= {8'b0, A} << SKIP;
                left <= B >> SKIP;
                sum <= 16'b0;
            end
        end else if (left == 8'b0) begin
            busy <= 1'b0;
            done <= 1'b1;
            O <= sum;
        end else begin
            if (left[0])
                sum <= sum + shifted;
            shifted <= shifted << 1;
            left <= left >> 1;
        end
    end
endmodule
