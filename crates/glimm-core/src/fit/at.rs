//! The likelihood at given parameters and with given responses.

use super::Problem;
use super::path::Engine;
use super::refusals::refuse_constant;
use crate::error::Error;
use crate::objective::Order;

impl Problem {
    /// New responses for the same rows; everything else stays. Compressed data, in which rows of
    /// different responses are one, are made anew instead.
    pub fn set_response(&mut self, y: &[f64]) -> Result<(), Error> {
        self.data.check_response(y)?;
        self.standard.responses(y, &mut self.data.y);
        refuse_constant(&self.data)?;
        self.sample.set_response(&self.data.y);
        match &mut self.engine {
            Engine::Block(b) => b.set_response(&self.data.y),
            Engine::Crossed(s) => s.set_response(&self.data.y),
            Engine::Restricted(r) => r.set_response(&self.data.y),
            Engine::Lmm(l) => l.set_response(&self.data),
            // Made for one fit.
            Engine::Nested(_) => {}
        }
        Ok(())
    }

    /// The objective and its gradient at the user's parameters, integrated as asked with nodes chosen there; `None` where
    /// it has no value.
    pub fn evaluate(&mut self, psi: &[f64]) -> Result<Option<(f64, Vec<f64>)>, Error> {
        let standard = self.standard_parameters(psi)?;
        self.place_nodes(&standard)?;
        let found = match &mut self.engine {
            Engine::Lmm(l) => l.evaluate_at(&standard),
            engine => engine.objective().evaluate(&standard, Order::Gradient, 1e-20).map(|e| (e.value, e.gradient)),
        };
        let Ok((value, gradient)) = found else { return Ok(None) };
        Ok(Some((value + self.unit_change(), self.standard.gradient_to_user(&gradient))))
    }

    pub(super) fn standard_parameters(&self, psi: &[f64]) -> Result<Vec<f64>, Error> {
        if psi.len() != self.layout.total {
            return Err(Error::Length { what: "parameters".into(), expected: self.layout.total, found: psi.len() });
        }
        Ok(self.standard.to_standard(psi))
    }
}
