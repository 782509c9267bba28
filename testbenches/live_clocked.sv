// Live co-simulation of a clocked design: as live.sv, with the operations one after the other.
//
// With +rtlgrad_probe it plays the list of inputs in +rtlgrad_stimulus_0 instead, and writes what
// the design answers to +rtlgrad_trace_0. With +rtlgrad_descending operations get more time, as
// in sweep_clocked.sv.
//
// This is a template: cosim/simulation/live.py fills in the dollar-marked names.
`timescale 1us / 1ps
module rtlgrad_live;
$clocked

  logic [31:0] state  /*verilator public_flat_rd*/;  // see live.sv
  int requests, answers, got;
  string requests_path, answers_path, stimulus, trace;
  logic [31:0] count;
  logic [$operand_bits-1:0] operands[0:2*$batch-1];
  logic [$answer_bits-1:0] answer;

  task answer_requests;
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
        operate;
        if (!in_time)
          $$fatal(1, "done does not come within %0d clock cycles for operand codes a=%0d b=%0d",
                  cycle_limit, a, b);
        answer = $answer_bits'(product);
        for (int unsigned w = 0; w < $answer_bits; w += 64)
          $$fwrite(answers, "%u", answer[w+:64]);
      end
      $$fflush(answers);
      got = $$fread(count, requests);
    end
  endtask

  initial begin
    state = 32'd1;
    if ($$test$$plusargs("rtlgrad_probe")) begin
      if (!$$value$$plusargs("rtlgrad_stimulus_0=%s", stimulus)) $$fatal(1, "no inputs");
      if (!$$value$$plusargs("rtlgrad_trace_0=%s", trace)) $$fatal(1, "no trace");
      probe(stimulus, trace);
    end else begin
      read_plan;
      // Operands that stay get the same product from a pipeline, after its latency.
      if (pipelined && cycles == 0) cycles = 1;
      if ($$test$$plusargs("rtlgrad_descending")) begin
        idle_cycles += 3;
        if (!handshake) cycles = 2 * cycles + 7;
      end
      begin_reset;
      answer_requests;
    end
    state = 32'd2;
    #1;
  end
endmodule
