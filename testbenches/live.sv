// Live co-simulation: answers batches of operand pairs for as long as the host asks.
//
// A request is a count n (32 bits, most significant byte first) and then n pairs of operand
// codes, 32 bits each, likewise; the answer is n output codes of 64 bits in the byte order of
// the machine. Requests and answers travel through the two files named by +rtlgrad_requests and
// +rtlgrad_answers, which are pipes. A count of 0, or the end of the requests, ends it.
//
// This is a template: cosim/live.py fills in the dollar-marked names.
`timescale 1us / 1ps
module rtlgrad_live;
  logic [$width_a-1:0] a;
  logic [$width_b-1:0] b;
  wire [$width_out-1:0] out;

  logic ended  /*verilator public_flat_rd*/;
  int requests, answers, got;
  string requests_path, answers_path;
  logic [31:0] count;
  logic [31:0] operands[0:2*$batch-1];
  logic [63:0] answer;

  $module $overrides dut (
      .$port_a(a),
      .$port_b(b),
      .$port_out(out)
  );

  initial begin
    ended = 1'b0;
    if (!$$value$$plusargs("rtlgrad_requests=%s", requests_path)) $$fatal(1, "no requests");
    if (!$$value$$plusargs("rtlgrad_answers=%s", answers_path)) $$fatal(1, "no answers");
    requests = $$fopen(requests_path, "rb");
    answers  = $$fopen(answers_path, "wb");
    got = $$fread(count, requests);
    while (got == 4 && count != 0) begin
      got = $$fread(operands, requests, 0, 2 * count);
      for (int unsigned i = 0; i < count; i++) begin
        a = operands[2*i][$width_a-1:0];
        b = operands[2*i+1][$width_b-1:0];
        // A whole microsecond: gate delays written into a netlist have long settled.
        #1;
        answer = 64'(out);
        $$fwrite(answers, "%u", answer);
      end
      $$fflush(answers);
      got = $$fread(count, requests);
    end
    ended = 1'b1;
    #1;
  end
endmodule
