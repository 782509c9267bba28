  // One clocked design, and the tasks that drive it. Part of the templates sweep_clocked.sv and
  // live_clocked.sv; cosim/simulation/lanes.py fills in the dollar-marked names.
  //
  // A clock cycle takes three microseconds. Operands and controls change right after the outputs
  // were read, one microsecond before the inactive edge and two before the active one, so that
  // they race with neither; after each edge and change there is a whole microsecond for delays
  // to settle.
  logic clk, reset, start;  // 1 asserts each, whatever the level at the port
  logic [$width_a-1:0] a;
  logic [$width_b-1:0] b;
  wire [$width_out-1:0] out;
  logic [$width_out-1:0] before_edge, product;

  // How operations go: see `Latency` in cosim/interface.py. The host says it in plusargs.
  bit pipelined, handshake, start_held, reset_each;
  int cycles, idle_cycles, cycle_limit;
  bit in_time;  // whether the last operation's done came within the limit
  int waited;   // how many cycles it took
  int played;   // cycles of a list of inputs so far

  // Names are escaped, since a design may use any, keywords of SystemVerilog among them.
$done_wires
  \$module $overrides dut (
      .\$port_a (a),
      .\$port_b (b),
      .\$port_out (out),
$control_ports
  );

  task read_plan;
    pipelined  = $$test$$plusargs("rtlgrad_pipelined_${index}_");
    handshake  = $$test$$plusargs("rtlgrad_handshake_${index}_");
    start_held = $$test$$plusargs("rtlgrad_startheld_${index}_");
    reset_each = $$test$$plusargs("rtlgrad_reseteach_${index}_");
    if (!$$value$$plusargs("rtlgrad_cycles_$index=%d", cycles)) cycles = 0;
    if (!$$value$$plusargs("rtlgrad_idle_$index=%d", idle_cycles)) idle_cycles = 0;
    if (!$$value$$plusargs("rtlgrad_limit_$index=%d", cycle_limit)) cycle_limit = 0;
  endtask

  // One cycle with the operands and controls as they are.
  task tick;
    #1;
    before_edge = out;
    clk = 1'b0;
    #1;
    clk = 1'b1;
    #1;
  endtask

  task begin_reset;
    clk = 1'b0;
    start = 1'b0;
    a = '0;
    b = '0;
    reset = 1'b1;
    repeat ($reset_cycles) tick;
    reset = 1'b0;
    repeat ($reset_cycles) tick;
  endtask

  // One operation with the operands as they are. The product is read after `cycles` cycles, or
  // with a handshake when `done` is asserted: not while it still is from the operation before.
  task operate;
    bit fresh, ended;
    if (reset_each) begin
      reset = 1'b1;
      repeat ($reset_cycles) tick;
      reset = 1'b0;
    end
    start   = 1'b1;
    waited  = 0;
    ended   = 1'b0;
    in_time = 1'b1;
    fresh   = done === 1'b0;
    while (!ended) begin
      tick;
      waited++;
      product = out;
      if (!start_held) start = 1'b0;
      if (handshake) begin
        if (done === 1'b0) fresh = 1'b1;
        in_time = fresh && done === 1'b1;
        ended   = in_time || waited >= cycle_limit;
      end else ended = waited >= cycles;
    end
    start = 1'b0;
    repeat (idle_cycles) tick;
  endtask

  // Plays a list of inputs and writes down the outputs. A line of the list holds a number of
  // cycles and the reset, start and operands for them; a line of the trace holds the number of
  // the cycle, the output before and after its active edge, and done after it, and is written
  // where one of these is another than in the cycle before.
  task probe(input string stimulus, input string trace);
    int from, to, count, got;
    bit next_reset, next_start;
    logic [$width_out-1:0] last_before, last_after;
    logic last_done;
    from = $$fopen(stimulus, "r");
    to = $$fopen(trace, "w");
    clk = 1'b0;
    played = 0;
    got = $$fscanf(from, "%d %b %b %h %h\n", count, next_reset, next_start, a, b);
    while (got == 5) begin
      reset = next_reset;
      start = next_start;
      repeat (count) begin
        tick;
        if (played == 0 || before_edge !== last_before || out !== last_after || done !== last_done)
          $$fwrite(to, "%0d %h %h %b\n", played, before_edge, out, done);
        last_before = before_edge;
        last_after = out;
        last_done = done;
        played++;
      end
      got = $$fscanf(from, "%d %b %b %h %h\n", count, next_reset, next_start, a, b);
    end
    $$fwrite(to, "%0d end\n", played);
    $$fclose(from);
    $$fclose(to);
  endtask
