//! The numbers behind glimm: likelihoods of generalized linear mixed models, their derivatives and
//! their maximisation. A plain Rust library; bindings live elsewhere.

pub mod compress;
pub mod control;
pub mod design;
pub mod error;
pub mod family;
pub mod fit;
pub mod gee;
pub mod integration;
pub mod linalg;
pub mod link;
pub mod objective;
pub mod optim;
pub mod pedigree;
pub mod population;
pub mod precision;
pub mod quadrature;
pub mod residuals;
mod shuffle;
pub mod simulate;
pub mod special;
pub mod structure;
pub mod suffstat;
