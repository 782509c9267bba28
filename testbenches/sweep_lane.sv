// One lane of the exhaustive sweep: drives every operand pair into one design and offers the
// outputs row by row. All lanes of a model advance together in simulated time. When `rows_done`
// changes, `row` holds the outputs for operand code `row_a` and every code of b.
//
// The codes are visited in ascending order, in which b alone changes within a row, or with
// +rtlgrad_descending in descending order, in which a alone changes last before each sample.
// A combinational circuit answers the same in either; one that keeps state (a latch, an
// incomplete sensitivity list) does not, which is how the host finds it out.
//
// This is a template: cosim/simulation/lanes.py fills in the dollar-marked names.
`timescale 1us / 1ps
module rtlgrad_lane_$index;
  localparam Rows = 1 << $width_a;
  localparam Columns = 1 << $width_b;

  logic [$width_a-1:0] a, order_a;
  logic [$width_b-1:0] b, order_b;
  wire [$width_out-1:0] out;
  logic [Columns*$field_bits-1:0] row  /*verilator public_flat_rd*/;
  logic [$width_a-1:0] row_a  /*verilator public_flat_rd*/;
  logic [$width_a:0] rows_done  /*verilator public_flat_rd*/;

  // Names are escaped, since a design may use any, keywords of SystemVerilog among them.
  \$module $overrides dut (
      .\$port_a (a),
      .\$port_b (b),
      .\$port_out (out)
  );

  initial begin
    order_a = '0;
    order_b = '0;
    if ($$test$$plusargs("rtlgrad_descending")) begin
      order_a = '1;
      order_b = '1;
    end
    rows_done = '0;
    if (!$$test$$plusargs("rtlgrad_skip_${index}_")) begin
      for (int unsigned i = 0; i < Rows; i++) begin
        a = $width_a'(i) ^ order_a;
        for (int unsigned j = 0; j < Columns; j++) begin
          b = $width_b'(j) ^ order_b;
          if (order_a != '0) begin
            a = ~a;
            #1;
            a = ~a;
          end
          // A whole microsecond: gate delays written into a netlist have long settled.
          #1;
          row[b*$field_bits+:$field_bits] = $field_bits'(out);
        end
        row_a = a;
        rows_done++;
        #1;
      end
    end
  end
endmodule
