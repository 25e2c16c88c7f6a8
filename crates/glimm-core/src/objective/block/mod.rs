//! Laplace log-likelihood of models whose random effects share one grouping factor.
//!
//! Given the parameters the groups are independent: every group is a small dense problem, a chunk of
//! groups fits the cache, and chunks are shared among threads. Sums over chunks run in a fixed order,
//! so results do not depend on the number of threads.

mod groups;
mod modes;
mod order;

use std::ops::Range;

use rayon::prelude::*;

use self::groups::Groups;
use self::order::{cut, place, sort_by_group};
use super::geometry::Factors;
use super::laplace::{Patch, Share};
use super::tangent::Direction;
use super::{Evaluation, Objective, Order, Posterior, Reject, chain};
use crate::design::{Column, Data, Layout};
use crate::family::Derivs;
use crate::linalg::dense;

/// Rows of a chunk: its buffers then stay in the first- and second-level caches.
const CHUNK_ROWS: usize = 1024;
/// Rows below which threads cost more than they give.
pub const PARALLEL_ROWS: usize = 10_000;
/// Mode tangents are kept while they take less than this many numbers per row.
const TANGENT_NUMBERS_PER_ROW: usize = 4;

pub struct Block {
    /// Rows sorted by group, and the given row each came from.
    data: Data,
    order: Vec<u32>,
    layout: Layout,
    /// Start of each group's rows, and the end of the last.
    starts: Vec<usize>,
    /// The level of each group.
    level: Vec<u32>,
    levels: usize,
    /// Linear predictor of each column of Z, over all terms.
    predictor: Vec<usize>,
    chunks: Vec<Range<usize>>,
    ones: Vec<f64>,
    log_constant: f64,
    /// Accepted modes (groups x q) and those of the last evaluation.
    u: Vec<f64>,
    trial: Vec<f64>,
    /// Tangents of the modes (groups x parameters x q) at the point `at`, accepted and of the last evaluation.
    tangents: Option<Tangents>,
    trial_tangents: Option<Tangents>,
    last: Vec<f64>,
    /// H^-1 of every group at the last evaluation.
    inverse: Vec<f64>,
    passes: f64,
}

struct Tangents {
    at: Vec<f64>,
    du: Vec<f64>,
}

/// One chunk's part of an evaluation.
struct Part {
    share: Share,
    /// One row per parameter.
    rows: Vec<Share>,
    /// C of every group.
    c: Vec<f64>,
    evaluated: usize,
}

impl Block {
    /// Sorts rows by group. All terms must have the same codes; without terms this is a GLM.
    pub fn new(data: &Data) -> Block {
        let (order, starts, level, levels) = match data.terms.first() {
            Some(term) => sort_by_group(&term.codes, term.levels),
            None => {
                let n = data.n();
                let starts: Vec<usize> = (0..n).step_by(CHUNK_ROWS).chain([n]).collect();
                ((0..n as u32).collect(), starts, Vec::new(), 0)
            }
        };
        let data = data.gather(&order);
        let predictor = data.terms.iter().flat_map(|t| t.columns.iter().map(|_| t.predictor)).collect();
        let chunks = cut(&starts);
        let most = chunks.iter().map(|c| starts[c.end] - starts[c.start]).max().unwrap_or(0);
        let mut block = Block {
            layout: data.layout(),
            log_constant: data.log_constant(),
            data,
            order,
            starts,
            level,
            levels,
            predictor,
            chunks,
            ones: vec![1.0; most],
            u: Vec::new(),
            trial: Vec::new(),
            tangents: None,
            trial_tangents: None,
            last: Vec::new(),
            inverse: Vec::new(),
            passes: 0.0,
        };
        block.reset();
        block
    }

    pub fn groups(&self) -> usize {
        self.starts.len() - 1
    }

    pub fn data(&self) -> &Data {
        &self.data
    }

    /// New responses, in the order of the rows given first.
    pub fn set_response(&mut self, y: &[f64]) {
        self.data.y.iter_mut().zip(&self.order).for_each(|(a, &i)| *a = y[i as usize]);
        self.log_constant = self.data.log_constant();
    }

    /// A new problem of some of the groups.
    pub fn subset(&self, groups: &[usize]) -> Block {
        let rows: Vec<u32> = groups.iter().flat_map(|&g| self.starts[g] as u32..self.starts[g + 1] as u32).collect();
        Block::new(&self.data.gather(&rows))
    }

    fn q(&self) -> usize {
        self.predictor.len()
    }

    /// The block-diagonal factor of all terms.
    fn lambda(&self, psi: &[f64]) -> Factors {
        let q = self.q();
        let (mut lambda, mut first) = (vec![0.0; q * q], 0);
        for (term, theta) in self.data.terms.iter().zip(&self.layout.theta) {
            let size = term.effects();
            let mut small = vec![0.0; size * size];
            term.structure.factor(&psi[theta.clone()], &mut small);
            place(&small, size, first, q, &mut lambda);
            first += size;
        }
        vec![lambda]
    }

    /// One direction per parameter.
    fn directions(&self, psi: &[f64]) -> Vec<Direction> {
        let q = self.q();
        let betas =
            self.layout.beta.iter().enumerate().flat_map(|(predictor, range)| {
                (0..range.len()).map(move |column| Direction::Beta { predictor, column })
            });
        let mut directions: Vec<Direction> = betas.collect();
        let mut first = 0;
        for (term, theta) in self.data.terms.iter().zip(&self.layout.theta) {
            let size = term.effects();
            for j in 0..theta.len() {
                let (mut small, mut full) = (vec![0.0; size * size], vec![0.0; q * q]);
                term.structure.derivative(&psi[theta.clone()], j, &mut small);
                place(&small, size, first, q, &mut full);
                directions.push(Direction::Factor(vec![full]));
            }
            first += size;
        }
        directions
    }

    fn keeps_tangents(&self) -> bool {
        let numbers = self.groups() * self.q() * self.layout.total;
        self.q() > 0 && numbers <= TANGENT_NUMBERS_PER_ROW * self.data.n()
    }

    /// Starts the trial modes at u + du (psi - at), the first-order prediction.
    fn predict_modes(&mut self, psi: &[f64]) {
        self.trial.copy_from_slice(&self.u);
        let (q, p) = (self.q(), self.layout.total);
        let Some(tangents) = &self.tangents else { return };
        let change: Vec<f64> = psi.iter().zip(&tangents.at).map(|(x, y)| x - y).collect();
        for (u, du) in self.trial.chunks_exact_mut(q).zip(tangents.du.chunks_exact(q * p)) {
            for (du, change) in du.chunks_exact(q).zip(&change) {
                u.iter_mut().zip(du).for_each(|(u, d)| *u += d * change);
            }
        }
    }

    fn chunk<'a>(&'a self, groups: &Range<usize>, lambda: &'a Factors, u: &'a mut [f64]) -> Patch<'a, Groups<'a>> {
        let (first, end) = (self.starts[groups.start], self.starts[groups.end]);
        let rows = end - first;
        let columns = self.data.terms.iter().flat_map(|t| &t.columns);
        let buffers = || vec![vec![0.0; rows]; self.data.predictors.len()];
        Patch {
            data: &self.data,
            layout: &self.layout,
            first,
            rows,
            geometry: Groups::new(
                self.starts[groups.start..=groups.end].iter().map(|s| s - first).collect(),
                columns.map(|c: &Column| c.rows(first..end, &self.ones)).collect(),
                &self.predictor,
            ),
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

    /// All that one chunk contributes; mode tangents go to `du`, as they come with the Hessian.
    fn part(&self, mut chunk: Patch<'_, Groups<'_>>, du: &mut [f64], job: &Job<'_>) -> Result<Part, Reject> {
        chunk.set_fixed(job.psi);
        chunk.find_modes(job.tolerance)?;
        let order = if job.order == Order::Hessian { 4 } else { 3 };
        let (share, at) = chunk.gradient(order)?;
        let mut rows = Vec::new();
        if job.order == Order::Hessian {
            for (j, direction) in job.directions.iter().enumerate() {
                let (row, tangent) = chunk.hessian_row(&at, direction);
                self.store_tangent(j, &tangent, du);
                rows.push(row);
            }
        }
        Ok(Part { share, rows, c: at.c, evaluated: chunk.evaluated })
    }

    /// Writes the tangent along parameter `j`, group by group.
    fn store_tangent(&self, j: usize, tangent: &[f64], du: &mut [f64]) {
        let (q, p) = (self.q().max(1), self.layout.total);
        for (t, du) in tangent.chunks_exact(q).zip(du.chunks_exact_mut(p * q)) {
            du[j * q..(j + 1) * q].copy_from_slice(t);
        }
    }

    fn parts(&self, trial: &mut [f64], du: &mut [f64], job: &Job<'_>) -> Vec<Result<Part, Reject>> {
        let q = self.q();
        let width = if du.is_empty() { 0 } else { q * self.layout.total };
        let (mut u_rest, mut du_rest) = (trial, du);
        let mut work = Vec::with_capacity(self.chunks.len());
        for groups in &self.chunks {
            let (u, rest) = std::mem::take(&mut u_rest).split_at_mut(groups.len() * q);
            let (d, d_rest) = std::mem::take(&mut du_rest).split_at_mut(groups.len() * width);
            (u_rest, du_rest) = (rest, d_rest);
            work.push((groups, u, d));
        }
        let run = |(groups, u, d): (&Range<usize>, &mut [f64], &mut [f64])| {
            self.part(self.chunk(groups, job.lambda, u), d, job)
        };
        if self.data.n() < PARALLEL_ROWS {
            return work.into_iter().map(run).collect();
        }
        work.into_par_iter().map(run).collect()
    }

    /// Sums the parts, in the order of the chunks, into the parameters' own derivatives.
    fn assemble(&self, psi: &[f64], parts: Vec<Part>, order: Order) -> Evaluation {
        let mut parts = parts.into_iter();
        let mut sum = parts.next().expect("at least one chunk");
        for part in parts {
            sum.share.add(&part.share);
            sum.rows.iter_mut().zip(&part.rows).for_each(|(a, b)| a.add(b));
        }
        let chain = chain::Chain::new(&self.data, &self.layout, psi);
        let gradient = chain.gradient(&sum.share.beta, &self.blocks(&sum.share.lambda[0]));
        let hessian = (order == Order::Hessian).then(|| {
            let rows: Vec<Vec<f64>> =
                sum.rows.iter().map(|r| chain.gradient(&r.beta, &self.blocks(&r.lambda[0]))).collect();
            chain.hessian(rows, &self.blocks(&sum.share.lambda[0]))
        });
        Evaluation { value: sum.share.value + self.log_constant, gradient, hessian }
    }

    /// The diagonal blocks, term by term, of a q x q matrix.
    fn blocks(&self, full: &[f64]) -> Vec<Vec<f64>> {
        let (q, mut first) = (self.q(), 0);
        let mut blocks = Vec::new();
        for term in &self.data.terms {
            let size = term.effects();
            blocks.push((0..size * size).map(|i| full[(first + i / size) * q + first + i % size]).collect());
            first += size;
        }
        blocks
    }
}

/// What every chunk needs to know of an evaluation.
struct Job<'a> {
    psi: &'a [f64],
    lambda: &'a Factors,
    directions: &'a [Direction],
    order: Order,
    tolerance: f64,
}

impl Objective for Block {
    fn evaluate(&mut self, psi: &[f64], order: Order, tolerance: f64) -> Result<Evaluation, Reject> {
        self.predict_modes(psi);
        let lambda = self.lambda(psi);
        let directions = self.directions(psi);
        let job = Job { psi, lambda: &lambda, directions: &directions, order, tolerance };
        let keeps = order == Order::Hessian && self.keeps_tangents();
        let width = if keeps { self.q() * self.layout.total } else { 0 };
        let mut trial = std::mem::take(&mut self.trial);
        let mut du = vec![0.0; self.groups() * width];
        let parts: Result<Vec<Part>, Reject> = self.parts(&mut trial, &mut du, &job).into_iter().collect();
        self.trial = trial;
        let parts = parts?;
        self.passes += parts.iter().map(|p| p.evaluated).sum::<usize>() as f64 / self.data.n() as f64;
        self.trial_tangents = (width > 0).then(|| Tangents { at: psi.to_vec(), du });
        self.last = psi.to_vec();
        self.inverse = parts.iter().flat_map(|p| &p.c).copied().collect();
        let evaluation = self.assemble(psi, parts, order);
        if evaluation.is_finite() { Ok(evaluation) } else { Err(Reject::NoMode) }
    }

    fn accept(&mut self) {
        self.u.copy_from_slice(&self.trial);
        self.tangents = self.trial_tangents.take();
    }

    fn information(&mut self) -> Option<Vec<f64>> {
        None
    }

    fn reset(&mut self) {
        self.u = vec![0.0; self.groups() * self.q()];
        self.trial = self.u.clone();
        self.tangents = None;
        self.trial_tangents = None;
    }

    fn passes(&self) -> f64 {
        self.passes
    }

    fn posterior(&self) -> Posterior {
        let (q, n) = (self.q(), self.q() * self.q());
        let lambda = self.lambda(&self.last);
        let terms = &self.data.terms;
        if terms.is_empty() {
            return Posterior { modes: Vec::new(), covariances: Vec::new() };
        }
        let mut posterior = Posterior {
            modes: terms.iter().map(|t| vec![0.0; self.levels * t.effects()]).collect(),
            covariances: terms.iter().map(|t| vec![0.0; self.levels * t.effects() * t.effects()]).collect(),
        };
        let (mut b, mut covariance) = (vec![0.0; q], vec![0.0; n]);
        let groups = self.u.chunks_exact(q).zip(self.inverse.chunks_exact(n)).zip(&self.level);
        for ((u, c), &level) in groups {
            dense::matvec(&lambda[0], u, q, &mut b);
            covariance.fill(0.0);
            dense::each_sandwich::<false>(q, &lambda[0], c, &lambda[0], &mut covariance);
            self.scatter(&b, &covariance, level as usize, &mut posterior);
        }
        self.fill_absent(&lambda[0], &mut posterior);
        posterior
    }
}

impl Block {
    /// Writes one group's modes and covariance at its level, term by term.
    fn scatter(&self, b: &[f64], covariance: &[f64], level: usize, out: &mut Posterior) {
        let (q, mut first) = (self.q(), 0);
        for (t, term) in self.data.terms.iter().enumerate() {
            let size = term.effects();
            out.modes[t][level * size..(level + 1) * size].copy_from_slice(&b[first..first + size]);
            for i in 0..size * size {
                out.covariances[t][level * size * size + i] = covariance[(first + i / size) * q + first + i % size];
            }
            first += size;
        }
    }

    /// Levels without rows keep their prior: mode zero, covariance Lambda Lambda'.
    fn fill_absent(&self, lambda: &[f64], out: &mut Posterior) {
        let q = self.q();
        let mut prior = vec![0.0; q * q];
        dense::matmul_nt(lambda, lambda, q, &mut prior);
        let mut present = vec![false; self.levels];
        self.level.iter().for_each(|&l| present[l as usize] = true);
        for level in (0..self.levels).filter(|&l| !present[l]) {
            self.scatter(&vec![0.0; q], &prior, level, out);
        }
    }
}
