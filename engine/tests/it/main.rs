//! Tests of the engine against the outside: its public interface, reference values, and real models where they are there.

mod generate;
mod kernels;
mod model;
mod pool;
mod quant;
mod reference;
mod tiny;
