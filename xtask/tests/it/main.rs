//! The tests through the built binary: one test program, with a fake AWS, fake programs and a harness that runs the binary in a
//! world of its own.
#![expect(dead_code, reason = "the fake and the harness can do more than the tests of any one day use")]

mod fake;
mod harness;
mod json_schema;
mod harness_tests;
