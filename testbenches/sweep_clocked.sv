// One lane of the exhaustive sweep for a clocked design: as sweep_lane.sv, with the operations
// one after the other, or in a pipeline one a clock cycle.
//
// With +rtlgrad_probe it plays the list of inputs in +rtlgrad_stimulus_$index instead, and writes
// what the design answers to +rtlgrad_trace_$index; from that the host finds how long an operation
// takes, and passes it to the sweep.
//
// With +rtlgrad_descending the codes are visited in descending order; in a pipeline each pair of
// operands follows its complement, other operations get more time between them, and a product
// that is there after a fixed time is read a good while later. A design that keeps nothing from
// one operation to the next, and whose product was complete, answers the same.
//
// With +rtlgrad_part=P, and N in +rtlgrad_parts_$index, only rows P, P + N, P + 2N, ... in the order
// of the sweep are visited.
//
// This is a template: cosim/simulation/lanes.py fills in the dollar-marked names.
`timescale 1us / 1ps
module rtlgrad_lane_$index;
  localparam Rows = 1 << $width_a;
  localparam Columns = 1 << $width_b;
  localparam Bits = $width_a + $width_b;

$clocked

  logic [Columns*$field_bits-1:0] row  /*verilator public_flat_rd*/;
  logic [$width_a-1:0] row_a  /*verilator public_flat_rd*/;
  logic [$width_a:0] rows_done  /*verilator public_flat_rd*/;
  logic [$width_b-1:0] fault_b  /*verilator public_flat_rd*/;
  logic [1:0] fault  /*verilator public_flat_rd*/;
  logic [31:0] least_cycles  /*verilator public_flat_rd*/;
  logic [31:0] most_cycles  /*verilator public_flat_rd*/;

  logic [Bits-1:0] order;
  bit descending, failed;
  int unsigned part, parts, pairs;
  string stimulus, trace;

  // The operands of visit k.
  function automatic logic [Bits-1:0] pair_at(input int unsigned k);
    int unsigned row_index;
    row_index = (k >> $width_b) * parts + part;
    return {row_index[$width_a-1:0], k[$width_b-1:0]} ^ order;
  endfunction

  task keep(input logic [Bits-1:0] pair, input logic [$width_out-1:0] value);
    row_a = pair[Bits-1:$width_b];
    row[pair[$width_b-1:0]*$field_bits+:$field_bits] = $field_bits'(value);
    // The low bits have come to the last code of b in the order of this sweep.
    if (pair[$width_b-1:0] == ~order[$width_b-1:0]) begin
      rows_done++;
      #1;
    end
  endtask

  task fail(input logic [Bits-1:0] pair, input logic [1:0] kind);
    {row_a, fault_b} = pair;
    fault = kind;
    failed = 1'b1;
    rows_done++;
    #1;
  endtask

  // In cycle c the operands of pair c (or of pair c/2, after its complement) go in, and the
  // output belongs to those of `delay` cycles ago.
  task stream;
    int unsigned taken, fed;
    int delay;
    logic [Bits-1:0] pair;
    delay = cycles == 0 ? 0 : cycles - 1;
    start = 1'b1;
    for (int unsigned c = 0; c < delay + (pairs << descending) && !failed; c++) begin
      fed = c >> descending;
      pair = pair_at(fed);
      if (descending && !c[0]) pair = ~pair;
      {a, b} = pair;
      tick;
      taken = c - delay;
      if (c >= delay && (!descending || taken[0])) begin
        taken = taken >> descending;
        pair = pair_at(taken);
        if ($has_done && done !== 1'b1) fail(pair, 2'd2);
        else keep(pair, cycles == 0 ? before_edge : out);
      end
    end
  endtask

  task one_by_one;
    logic [Bits-1:0] pair;
    for (int unsigned k = 0; k < pairs && !failed; k++) begin
      pair = pair_at(k);
      {a, b} = pair;
      operate;
      if (waited < least_cycles) least_cycles = waited;
      if (waited > most_cycles) most_cycles = waited;
      if (in_time) keep(pair, product);
      else fail(pair, 2'd1);
    end
  endtask

  initial begin
    rows_done = '0;
    fault = '0;
    failed = 1'b0;
    descending = 1'b0;
    order = '0;
    least_cycles = 32'h7fff_ffff;
    most_cycles = 0;
    if ($$test$$plusargs("rtlgrad_probe")) begin
      if ($$value$$plusargs("rtlgrad_stimulus_$index=%s", stimulus)
          && $$value$$plusargs("rtlgrad_trace_$index=%s", trace)) begin
        probe(stimulus, trace);
        rows_done = '1;
        #1;
      end
    end else if (!$$test$$plusargs("rtlgrad_skip_${index}_")) begin
      read_plan;
      if (!$$value$$plusargs("rtlgrad_part=%d", part)) part = 0;
      if (!$$value$$plusargs("rtlgrad_parts_$index=%d", parts)) parts = 1;
      part  = part % parts;
      pairs = (Rows - part + parts - 1) / parts * Columns;
      if ($$test$$plusargs("rtlgrad_descending")) begin
        descending = 1'b1;
        order = '1;
        idle_cycles += 3;
        if (!pipelined && !handshake) cycles = 2 * cycles + 7;
      end
      begin_reset;
      if (pipelined) stream;
      else one_by_one;
    end
  end
endmodule
