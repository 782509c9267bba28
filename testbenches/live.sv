// Live co-simulation: answers batches of operand pairs for as long as the host asks.
//
// A request is a count n (32 bits, most significant byte first) and then n pairs of operand
// codes, $operand_bits bits each, likewise; the answer is n output codes of $answer_bits bits, 64
// at a time from the low ones up, in the byte order of the machine. Requests and answers travel
// through the two files named by +rtlgrad_requests and +rtlgrad_answers: pipes, or plain files
// for a list of pairs that is known from the start. A count of 0, or the end of the requests, ends
// it.
//
// This is a template: cosim/simulation/live.py fills in the dollar-marked names.
`timescale 1us / 1ps
module rtlgrad_live;
  logic [$width_a-1:0] a;
  logic [$width_b-1:0] b;
  wire [$width_out-1:0] out;

  // Storage may start as anything: the end is not marked by a value that all ones or zeros are.
  logic [31:0] state  /*verilator public_flat_rd*/;
  int requests, answers, got;
  string requests_path, answers_path;
  logic [31:0] count;
  logic [$operand_bits-1:0] operands[0:2*$batch-1];
  logic [$answer_bits-1:0] answer;

  // Names are escaped, since a design may use any, keywords of SystemVerilog among them.
  \$module $overrides dut (
      .\$port_a (a),
      .\$port_b (b),
      .\$port_out (out)
  );

  initial begin
    state = 32'd1;
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
        answer = $answer_bits'(out);
        for (int unsigned w = 0; w < $answer_bits; w += 64)
          $$fwrite(answers, "%u", answer[w+:64]);
      end
      $$fflush(answers);
      got = $$fread(count, requests);
    end
    state = 32'd2;
    #1;
  end
endmodule
