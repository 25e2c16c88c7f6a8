//! Laplace log-likelihood of models with any combination of crossed and nested grouping factors.

mod border;
mod cells;
mod constrained;
mod dense;
mod draws;
mod engine;
pub mod importance;
mod information;
mod iterative;
mod linear;
mod metropolis;
mod modes;
mod pattern;
mod posterior;
pub mod propagation;
mod restricted;
mod rows;
mod schur;
mod solver;
mod sparse;

pub use self::cells::Cells;
pub use self::draws::Chance;
pub use self::engine::{Engine, Plan};
pub use self::pattern::{OfRow, Pattern};
pub use self::restricted::Restricted;
pub use self::rows::Rows;
pub use self::solver::Solver;

use std::sync::Arc;

use self::draws::Signs;
use super::geometry::{Effects, Factors};
use super::laplace::{Patch, Share};
use super::tangent::{self, Direction};
use super::{
    Evaluation, Objective, Order, Posterior, Reject,
    chain::{self, Chain},
    proceed,
};
use crate::control::Control;
use crate::design::{Data, Layout};
use crate::error::Error;
use crate::family::Derivs;

pub struct Crossed {
    /// Rows sorted by the largest factor, and the given row each came from.
    data: Data,
    order: Vec<u32>,
    layout: Layout,
    pattern: Arc<Pattern>,
    of_row: OfRow,
    plan: Plan,
    /// For an engine that draws.
    signs: Option<Signs>,
    /// The solver with its last factor; absent while an evaluation has it.
    solver: Option<Box<dyn Solver>>,
    /// Whether the factor is that of the last evaluation.
    factored: bool,
    ones: Vec<f64>,
    log_constant: f64,
    /// Accepted modes with their parameters, and those of the last evaluation.
    u: Vec<f64>,
    at: Vec<f64>,
    trial: Vec<f64>,
    last: Vec<f64>,
    /// Tangents of the modes along each parameter, and those of the last evaluation.
    tangents: Vec<Vec<f64>>,
    trial_tangents: Vec<Vec<f64>>,
    /// C on the pattern and the average information at the last evaluation.
    inverse: Vec<f64>,
    information: Option<Vec<f64>>,
    room: Room,
    passes: f64,
    control: Arc<Control>,
}

/// Room for numbers of every row, handed on from one evaluation to the next: new memory costs as much as what is
/// written to it.
#[derive(Default)]
struct Room {
    fixed: Vec<Vec<f64>>,
    eta: Vec<Vec<f64>>,
    derivs: Derivs,
}

impl Crossed {
    pub fn new(data: &Data, engine: Engine) -> Result<Crossed, Error> {
        let order = pattern::row_order(&data.terms);
        let data = data.gather(&order);
        let (pattern, of_row) = Pattern::new(&data.terms)?;
        let pattern = Arc::new(pattern);
        let plan = Plan::new(&pattern, engine, engine::can_draw(&data))?;
        let effects = pattern.effects();
        let solver = plan.solver();
        let signs = (solver.draws() > 0).then(|| Signs::new(data.n(), effects));
        Ok(Crossed {
            layout: data.layout(),
            order,
            solver: Some(solver),
            signs,
            factored: false,
            plan,
            pattern,
            of_row,
            ones: vec![1.0; data.n()],
            log_constant: log_constant(&data),
            data,
            u: vec![0.0; effects],
            at: Vec::new(),
            trial: vec![0.0; effects],
            last: Vec::new(),
            tangents: Vec::new(),
            trial_tangents: Vec::new(),
            inverse: Vec::new(),
            information: None,
            room: Room::default(),
            passes: 0.0,
            control: Arc::default(),
        })
    }

    /// Rows sorted by the largest factor.
    pub fn data(&self) -> &Data {
        &self.data
    }

    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Leaves out what only helps a climb.
    pub fn rest(&mut self) {
        self.room = Room::default();
    }

    /// New responses, in the order of the rows given first.
    pub fn set_response(&mut self, y: &[f64]) {
        self.data.y.iter_mut().zip(&self.order).for_each(|(a, &i)| *a = y[i as usize]);
        self.log_constant = log_constant(&self.data);
    }

    /// First-order prediction of the modes at `psi`.
    fn predict_modes(&mut self, psi: &[f64]) {
        self.trial.copy_from_slice(&self.u);
        for ((x, y), du) in psi.iter().zip(&self.at).zip(&self.tangents) {
            self.trial.iter_mut().zip(du).for_each(|(u, d)| *u += (x - y) * d);
        }
    }

    fn patch<'a>(
        &'a self,
        solver: Box<dyn Solver>,
        lambda: &'a Factors,
        u: &'a mut [f64],
    ) -> Patch<'a, Cells<'a, Rows<'a>>> {
        self.patch_in(Room::default(), solver, lambda, u)
    }

    fn patch_in<'a>(
        &'a self,
        room: Room,
        solver: Box<dyn Solver>,
        lambda: &'a Factors,
        u: &'a mut [f64],
    ) -> Patch<'a, Cells<'a, Rows<'a>>> {
        let n = self.data.n();
        let sized = |mut buffers: Vec<Vec<f64>>| {
            buffers.resize(self.data.predictors.len(), Vec::new());
            buffers.into_iter().map(|b| if b.len() == n { b } else { vec![0.0; n] }).collect()
        };
        let rows = Rows { data: &self.data, of_row: &self.of_row };
        Patch {
            data: &self.data,
            layout: &self.layout,
            first: 0,
            rows: n,
            geometry: Cells { pattern: &self.pattern, solver, rows },
            random: self.data.random_predictors(),
            lambda,
            u,
            ones: &self.ones,
            fixed: sized(room.fixed),
            eta: sized(room.eta),
            derivs: room.derivs,
            evaluated: 0,
        }
    }
}

/// That of the rows and of the priors, and log(2 pi) / 2 for every effect whose prior density has none.
fn log_constant(data: &Data) -> f64 {
    let flat = data.terms.iter().filter(|t| t.structure.precision() == 0.0);
    let effects: usize = flat.map(|t| t.levels * t.effects()).sum();
    data.log_constant() + data.log_priors() + 0.5 * effects as f64 * std::f64::consts::TAU.ln()
}

/// Everything one evaluation yields.
struct Found {
    share: Share,
    c: Vec<f64>,
    /// Rows of the Hessian, by parameter.
    rows: Vec<Share>,
    tangents: Vec<Vec<f64>>,
    information: Option<Vec<f64>>,
}

/// What is wanted of an evaluation at `psi`.
struct Job<'a> {
    psi: &'a [f64],
    directions: &'a [Direction],
    order: Order,
    tolerance: f64,
    factored: bool,
    signs: Option<&'a Signs>,
    control: &'a Control,
}

/// Modes, value and derivatives.
fn explore(patch: &mut Patch<'_, Cells<'_, Rows<'_>>>, job: &Job<'_>) -> Result<Found, Reject> {
    patch.set_fixed(job.psi);
    patch.find_modes(job.tolerance, job.factored, job.control)?;
    proceed(job.control)?;
    if let Some(signs) = job.signs {
        let noise = patch.noise(signs);
        patch.geometry.solver.set_noise(noise);
    }
    let (share, at) = patch.gradient(if job.order == Order::Hessian { 4 } else { 3 })?;
    let mut found = Found { share, c: Vec::new(), rows: Vec::new(), tangents: Vec::new(), information: None };
    match job.order {
        Order::Gradient => {}
        Order::Information => {
            let (information, tangents) = patch.information(&at, job.directions);
            (found.information, found.tangents) = (Some(information), tangents);
        }
        Order::Hessian => {
            for direction in job.directions {
                proceed(job.control)?;
                let (row, tangent) = patch.hessian_row(&at, direction);
                found.rows.push(row);
                found.tangents.push(tangent);
            }
        }
    }
    found.c = at.c;
    Ok(found)
}

impl Objective for Crossed {
    fn evaluate(&mut self, psi: &[f64], order: Order, tolerance: f64) -> Result<Evaluation, Reject> {
        self.predict_modes(psi);
        let lambda = chain::factors(&self.data, &self.layout, psi);
        let solver = self.solver.take().unwrap_or_else(|| self.plan.solver());
        let mut trial = std::mem::take(&mut self.trial);
        let chain = Chain::new(&self.data, &self.layout, psi);
        let directions = tangent::directions(&self.data, &self.layout, &chain);
        let room = std::mem::take(&mut self.room);
        let mut patch = self.patch_in(room, solver, &lambda, &mut trial);
        let (factored, signs, control) = (self.factored, self.signs.as_ref(), self.control.as_ref());
        let job = Job { psi, directions: &directions, order, tolerance, factored, signs, control };
        let found = explore(&mut patch, &job);
        let evaluated = patch.evaluated as f64 / self.data.n() as f64;
        let (solver, room) = (patch.geometry.solver, Room { fixed: patch.fixed, eta: patch.eta, derivs: patch.derivs });
        let evaluation = found.as_ref().map_err(|r| *r).and_then(|found| {
            let gradient = chain.gradient(&found.share.beta, &found.share.lambda);
            let hessian = (order == Order::Hessian).then(|| {
                let rows = found.rows.iter().map(|r| chain.gradient(&r.beta, &r.lambda)).collect();
                chain.hessian(rows, &found.share.lambda)
            });
            let evaluation = Evaluation { value: found.share.value + self.log_constant, gradient, hessian };
            if evaluation.is_finite() { Ok(evaluation) } else { Err(Reject::NoMode) }
        });
        self.solver = Some(solver);
        (self.trial, self.room) = (trial, room);
        self.passes += evaluated;
        self.factored = evaluation.is_ok();
        self.last = psi.to_vec();
        if let Ok(found) = found {
            self.trial_tangents = found.tangents;
            self.inverse = found.c;
            self.information = found.information;
        }
        evaluation
    }

    fn accept(&mut self) {
        self.u.copy_from_slice(&self.trial);
        self.at.clone_from(&self.last);
        // Older tangents still predict better than none.
        if !self.trial_tangents.is_empty() {
            self.tangents = std::mem::take(&mut self.trial_tangents);
        }
    }

    fn information(&mut self) -> Option<Vec<f64>> {
        self.information.take()
    }

    fn reset(&mut self) {
        self.u.fill(0.0);
        self.at.clear();
        self.tangents.clear();
        self.trial_tangents.clear();
        self.information = None;
        self.factored = false;
        self.solver.iter_mut().for_each(|s| s.forget());
    }

    fn set_control(&mut self, control: &Arc<Control>) {
        self.control = control.clone();
    }

    fn passes(&self) -> f64 {
        self.passes
    }

    fn posterior(&self) -> Posterior {
        let lambda = chain::factors(&self.data, &self.layout, &self.last);
        let cells = Cells { pattern: &self.pattern, solver: self.plan.solver(), rows: () };
        let mut covariance = vec![0.0; self.pattern.matrix_len()];
        cells.add_outer(&lambda, &self.inverse, &lambda, &mut covariance);
        let mut b = vec![0.0; self.pattern.effects()];
        cells.apply(&lambda, &self.u, &mut b);
        let terms = 0..self.data.terms.len();
        Posterior {
            modes: terms.clone().map(|t| b[self.pattern.term(t)].to_vec()).collect(),
            covariances: terms.map(|t| covariance[self.pattern.own_blocks(t)].to_vec()).collect(),
        }
    }
}
