//! Laplace log-likelihood of models with any combination of crossed and nested grouping factors,
//! by a sparse Cholesky factorisation of H and its selected inverse.

pub(crate) mod cells;
mod linear;
mod modes;

use std::sync::Arc;

use self::cells::{Cells, Pattern};
use super::geometry::{Effects, Factors, Geometry};
use super::laplace::{AtMode, Patch, Share};
use super::tangent::Direction;
use super::{Evaluation, Objective, Order, Posterior, Reject, chain::Chain, proceed};
use crate::control::Control;
use crate::design::{Data, Layout};
use crate::error::Error;
use crate::family::Derivs;
use crate::linalg::sparse::Factor;

pub struct Sparse {
    data: Data,
    layout: Layout,
    pattern: Pattern,
    factor: Option<Factor>,
    ones: Vec<f64>,
    log_constant: f64,
    /// Accepted modes and those of the last evaluation.
    u: Vec<f64>,
    trial: Vec<f64>,
    /// Where the accepted modes were found, and their tangents along each parameter.
    tangents: Option<(Vec<f64>, Vec<Vec<f64>>)>,
    trial_tangents: Option<(Vec<f64>, Vec<Vec<f64>>)>,
    last: Vec<f64>,
    information: Option<Vec<f64>>,
    passes: f64,
    control: Arc<Control>,
}

impl Sparse {
    pub fn new(data: &Data) -> Result<Sparse, Error> {
        let pattern = Pattern::new(data)?;
        let effects = pattern.effects();
        Ok(Sparse {
            layout: data.layout(),
            factor: Some(pattern.factor()),
            pattern,
            ones: vec![1.0; data.n()],
            log_constant: data.log_constant(),
            data: data.clone(),
            u: vec![0.0; effects],
            trial: vec![0.0; effects],
            tangents: None,
            trial_tangents: None,
            last: Vec::new(),
            information: None,
            passes: 0.0,
            control: Arc::default(),
        })
    }

    /// New responses for the same rows.
    pub fn set_response(&mut self, y: &[f64]) {
        self.data.y.copy_from_slice(y);
        self.log_constant = self.data.log_constant();
    }

    fn lambda(&self, psi: &[f64]) -> Factors {
        let terms = self.data.terms.iter().zip(&self.layout.theta);
        terms
            .map(|(term, theta)| {
                let mut f = vec![0.0; term.effects() * term.effects()];
                term.structure.factor(&psi[theta.clone()], &mut f);
                f
            })
            .collect()
    }

    fn directions(&self, chain: &Chain<'_>) -> Vec<Direction> {
        let betas =
            self.layout.beta.iter().enumerate().flat_map(|(predictor, range)| {
                (0..range.len()).map(move |column| Direction::Beta { predictor, column })
            });
        let zeros = || self.data.terms.iter().map(|t| vec![0.0; t.effects() * t.effects()]).collect::<Factors>();
        let thetas = self.layout.theta.iter().enumerate().flat_map(|(t, range)| {
            (0..range.len()).map(move |j| {
                let mut factors = zeros();
                factors[t].copy_from_slice(chain.derivative(t, j));
                Direction::Factor(factors)
            })
        });
        betas.chain(thetas).collect()
    }

    /// First-order prediction of the modes at `psi`.
    fn predict_modes(&mut self, psi: &[f64]) {
        self.trial.copy_from_slice(&self.u);
        let Some((at, tangents)) = &self.tangents else { return };
        for ((x, y), du) in psi.iter().zip(at).zip(tangents) {
            self.trial.iter_mut().zip(du).for_each(|(u, d)| *u += (x - y) * d);
        }
    }

    fn patch<'a>(&'a self, factor: Factor, lambda: &'a Factors, u: &'a mut [f64]) -> Patch<'a, Cells<'a>> {
        let n = self.data.n();
        let buffers = || vec![vec![0.0; n]; self.data.predictors.len()];
        Patch {
            data: &self.data,
            layout: &self.layout,
            first: 0,
            rows: n,
            geometry: Cells::new(&self.pattern, &self.data, factor, &self.ones),
            random: self.data.random_predictors(),
            lambda,
            u,
            ones: &self.ones,
            fixed: buffers(),
            eta: buffers(),
            derivs: Derivs::default(),
            evaluated: 0,
        }
    }

    fn fresh_factor(&mut self) -> Factor {
        self.factor.take().unwrap_or_else(|| self.pattern.factor())
    }
}

/// Everything one evaluation yields.
struct Found {
    share: Share,
    /// Rows of the Hessian with the tangents of the modes, by parameter.
    rows: Vec<(Share, Vec<f64>)>,
    information: Option<Vec<f64>>,
}

/// What is wanted of an evaluation at `psi`.
struct Job<'a> {
    psi: &'a [f64],
    directions: &'a [Direction],
    order: Order,
    tolerance: f64,
    information: bool,
    control: &'a Control,
}

/// Modes, value and derivatives.
fn explore(patch: &mut Patch<'_, Cells<'_>>, job: &Job<'_>) -> Result<Found, Reject> {
    patch.set_fixed(job.psi);
    patch.find_modes(job.tolerance, job.control)?;
    proceed(job.control)?;
    let (share, at) = patch.gradient(if job.order == Order::Hessian { 4 } else { 3 })?;
    let rows = match job.order {
        Order::Gradient => Vec::new(),
        Order::Hessian => {
            let row = |d| proceed(job.control).map(|()| patch.hessian_row(&at, d));
            job.directions.iter().map(row).collect::<Result<_, _>>()?
        }
    };
    let information = job.information.then(|| information(patch, &at, job.directions));
    Ok(Found { share, rows, information })
}

/// Average information: with the working model y* = eta + r/W, V = W^-1 + Z Lambda Lambda'Z',
/// coefficients get X'V^-1 X and parameters of the factors f_j'V^-1 f_k / 2 with
/// f_j = Z (dLambda u + Lambda dLambda'Z'r) (Gilmour, Thompson and Cullis 1995, Biometrics 51, 1440-1450).
fn information(patch: &mut Patch<'_, Cells<'_>>, at: &AtMode, directions: &[Direction]) -> Vec<f64> {
    let k_all = patch.eta.len();
    let works: Vec<Vec<Vec<f64>>> = directions.iter().map(|d| work_vector(patch, at, d)).collect();
    let weighted: Vec<Vec<Vec<f64>>> = works.iter().map(|f| v_inverse(patch, f)).collect();
    let p = directions.len();
    let mut out = vec![0.0; p * p];
    for i in 0..p {
        for j in 0..p {
            let both = matches!(
                (&directions[i], &directions[j]),
                (Direction::Factor(_), Direction::Factor(_)) | (Direction::Beta { .. }, Direction::Beta { .. })
            );
            if !both {
                continue;
            }
            let half = if matches!(directions[i], Direction::Factor(_)) { 0.5 } else { 1.0 };
            out[i * p + j] = half * (0..k_all).map(|k| super::sums::dot(&works[i][k], &weighted[j][k])).sum::<f64>();
        }
    }
    out
}

/// X's column for a coefficient, f_j for a parameter of a factor; one vector of rows per predictor.
fn work_vector(patch: &Patch<'_, Cells<'_>>, at: &AtMode, direction: &Direction) -> Vec<Vec<f64>> {
    let mut rows = vec![vec![0.0; patch.rows]; patch.eta.len()];
    match direction {
        Direction::Beta { predictor, column } => {
            rows[*predictor].copy_from_slice(patch.x(*predictor, *column));
        }
        Direction::Factor(dl) => {
            let n = patch.geometry.vector_len();
            let (mut b, mut inner, mut outer) = (vec![0.0; n], vec![0.0; n], vec![0.0; n]);
            patch.geometry.apply(dl, patch.u, &mut b);
            patch.geometry.apply_transpose(dl, &at.zr, &mut inner);
            patch.geometry.apply(patch.lambda, &inner, &mut outer);
            b.iter_mut().zip(&outer).for_each(|(b, o)| *b += o);
            for (k, row) in rows.iter_mut().enumerate().take(patch.random) {
                patch.geometry.expand(k, &b, row);
            }
        }
    }
    rows
}

/// V^-1 f = W f - W Z Lambda C Lambda'Z'W f.
fn v_inverse(patch: &mut Patch<'_, Cells<'_>>, f: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let n = patch.geometry.vector_len();
    let weigh = |patch: &Patch<'_, Cells<'_>>, f: &[Vec<f64>]| -> Vec<Vec<f64>> {
        (0..f.len()).map(|k| patch.second_times(k, f).iter().map(|x| -x).collect()).collect()
    };
    let mut wf = weigh(patch, f);
    let (mut zwf, mut c) = (vec![0.0; n], vec![0.0; n]);
    for (k, row) in wf.iter().enumerate().take(patch.random) {
        patch.geometry.sum(k, row, &mut zwf);
    }
    patch.geometry.apply_transpose(patch.lambda, &zwf, &mut c);
    patch.geometry.solve(&mut c);
    let mut b = vec![0.0; n];
    patch.geometry.apply(patch.lambda, &c, &mut b);
    let mut smooth = vec![vec![0.0; patch.rows]; f.len()];
    for (k, row) in smooth.iter_mut().enumerate().take(patch.random) {
        patch.geometry.expand(k, &b, row);
    }
    for (w, s) in wf.iter_mut().zip(weigh(patch, &smooth)) {
        w.iter_mut().zip(s).for_each(|(w, s)| *w -= s);
    }
    wf
}

impl Objective for Sparse {
    fn evaluate(&mut self, psi: &[f64], order: Order, tolerance: f64) -> Result<Evaluation, Reject> {
        self.predict_modes(psi);
        let lambda = self.lambda(psi);
        let (factor, mut trial) = (self.fresh_factor(), std::mem::take(&mut self.trial));
        let chain = Chain::new(&self.data, &self.layout, psi);
        let directions = self.directions(&chain);
        let information = order == Order::Gradient && self.information.is_none();
        let mut patch = self.patch(factor, &lambda, &mut trial);
        let control = &self.control;
        let job = Job { psi, directions: &directions, order, tolerance, information, control };
        let found = explore(&mut patch, &job);
        let evaluated = patch.evaluated as f64 / self.data.n() as f64;
        let factor = patch.geometry.into_factor();
        let evaluation = found.as_ref().map_err(|r| *r).and_then(|found| {
            let gradient = chain.gradient(&found.share.beta, &found.share.lambda);
            let hessian = (order == Order::Hessian).then(|| {
                let rows = found.rows.iter().map(|(r, _)| chain.gradient(&r.beta, &r.lambda)).collect();
                chain.hessian(rows, &found.share.lambda)
            });
            let evaluation = Evaluation { value: found.share.value + self.log_constant, gradient, hessian };
            if evaluation.is_finite() { Ok(evaluation) } else { Err(Reject::NoMode) }
        });
        self.factor = Some(factor);
        self.trial = trial;
        self.passes += evaluated;
        self.last = psi.to_vec();
        if let Ok(found) = found {
            let tangents: Vec<Vec<f64>> = found.rows.into_iter().map(|(_, t)| t).collect();
            self.trial_tangents = (!tangents.is_empty()).then(|| (psi.to_vec(), tangents));
            self.information = self.information.take().or(found.information);
        }
        evaluation
    }

    fn accept(&mut self) {
        self.u.copy_from_slice(&self.trial);
        self.tangents = self.trial_tangents.take();
    }

    fn information(&mut self) -> Option<Vec<f64>> {
        self.information.clone()
    }

    fn reset(&mut self) {
        self.u.fill(0.0);
        self.tangents = None;
        self.trial_tangents = None;
        self.information = None;
    }

    fn set_control(&mut self, control: &Arc<Control>) {
        self.control = control.clone();
    }

    fn passes(&self) -> f64 {
        self.passes
    }

    fn posterior(&self) -> Posterior {
        let lambda = self.lambda(&self.last);
        let mut u = self.u.clone();
        let mut patch = self.patch(self.pattern.factor(), &lambda, &mut u);
        patch.set_fixed(&self.last);
        let n = patch.geometry.vector_len();
        let mut covariance = vec![0.0; patch.geometry.matrix_len()];
        if let Ok((_, at)) = patch.gradient(3) {
            patch.geometry.add_outer(&lambda, &at.c, &lambda, &mut covariance);
        }
        let mut b = vec![0.0; n];
        patch.geometry.apply(&lambda, patch.u, &mut b);
        let terms = 0..self.data.terms.len();
        Posterior {
            modes: terms.clone().map(|t| b[self.pattern.term(t)].to_vec()).collect(),
            covariances: terms.map(|t| covariance[self.pattern.own_blocks(t)].to_vec()).collect(),
        }
    }
}
