//! Laplace log-likelihood of models whose random effects share one grouping factor.
//!
//! Given the parameters the groups are independent and every group is a small dense problem. Eight groups are solved
//! at once, side by side in the lanes of vector registers ([`tiles`], [`lanes`]). Chunks of groups are shared among
//! threads; sums over chunks run in a fixed order, so results do not depend on the number of threads.

mod choose;
mod integrand;
mod lanes;
mod laplace;
mod modes;
mod moments;
mod nodes;
mod posterior;
mod quadrature;
mod scores;
mod store;
mod tiles;
mod work;

use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;

use self::lanes::{LANES, Lanes};
use self::laplace::{Direction, Point, Sums, lane_copies};
use self::modes::Search;
use self::quadrature::{Grid, Mean};
use self::store::Store;
use self::work::Work;
use super::{Evaluation, Objective, Order, Posterior, Reject, chain, proceed};
use crate::control::Control;
use crate::design::{Column, Data, Layout, Predictor, Term};
use crate::linalg::dense::by_size;
use crate::special::vectorized;

/// Rows below which threads cost more than they give.
pub const PARALLEL_ROWS: usize = 10_000;
/// Mode tangents are kept while they take less than this many numbers per row.
const TANGENT_NUMBERS_PER_ROW: usize = 4;

pub struct Block {
    /// Family, predictors and terms of the problem, without their rows.
    shape: Data,
    layout: Layout,
    places: tiles::Layout,
    store: Store,
    chunks: Vec<Range<usize>>,
    levels: usize,
    log_constant: f64,
    /// How many equal groups each level stands for.
    copies: Option<Vec<f64>>,
    /// Nodes of every tile; none for Laplace's approximation.
    grids: Vec<Arc<Grid>>,
    /// The reference that the nodes reproduce, group by group; empty where it is not kept.
    reference: Vec<nodes::Chosen>,
    /// Accepted modes (tiles x q) and those of the last evaluation.
    u: Vec<Lanes>,
    trial: Vec<Lanes>,
    /// Tangents of the modes (tiles x parameters x q) at the point `at`, accepted and of the last evaluation.
    tangents: Option<Tangents>,
    trial_tangents: Option<Tangents>,
    last: Vec<f64>,
    /// H^-1 of every tile at the last evaluation.
    inverse: Vec<Lanes>,
    passes: f64,
    control: Arc<Control>,
}

struct Tangents {
    at: Vec<f64>,
    du: Vec<Lanes>,
}

/// What every chunk needs to know of an evaluation.
struct Job<'a> {
    psi: &'a [f64],
    /// Lambda, the same in every lane.
    lambda: Vec<Lanes>,
    /// Directions with the parameter that moves along each; a coefficient of several columns has several.
    directions: Vec<(usize, Direction)>,
    order: Order,
    tolerance: f64,
    /// Whether the modes start at a first-order prediction.
    near: bool,
    /// Whether groups have nodes.
    nodes: bool,
    /// Whether every tile's sums are kept by themselves.
    each: bool,
}

impl Job<'_> {
    /// Order of the row derivatives.
    fn row_order(&self) -> usize {
        if self.order == Order::Hessian && !self.nodes { 4 } else { 3 }
    }
}

/// One chunk's part of an evaluation: the objective and one row per direction.
struct Part {
    sums: Vec<Sums>,
    /// The sums of each tile instead, if they are kept.
    tiles: Vec<Vec<Sums>>,
    evaluated: usize,
}

/// What picks a number of the j-th sums and adds it up over groups.
type Over<'a> = dyn Fn(usize, &dyn Fn(&Sums) -> Lanes) -> f64 + 'a;

/// A chunk's share of the arrays that evaluations write to.
struct Slots<'a> {
    tiles: &'a Range<usize>,
    u: &'a mut [Lanes],
    inverse: &'a mut [Lanes],
    du: &'a mut [Lanes],
}

impl Block {
    pub fn new(data: &Data) -> Block {
        Block::take(&mut data.clone())
    }

    /// Lays rows out by group. All terms must have the same codes; without terms this is a GLM. Takes the columns and
    /// codes out of `data`, which keeps its shape, responses, sizes, weights and offsets.
    pub fn take(data: &mut Data) -> Block {
        let places = match data.terms.first() {
            Some(term) => tiles::Layout::by_code(&term.codes, term.levels),
            None => tiles::Layout::of_runs(data.n()),
        };
        Block::at(data, places)
    }

    /// The same with rows at given places.
    fn at(data: &mut Data, places: tiles::Layout) -> Block {
        let (log_constant, copies, shape) = (data.log_constant(), data.copies.clone(), shape(data));
        data.terms.iter_mut().for_each(|t| t.codes = Vec::new());
        let store = Store::take(data, &places);
        let mut block = Block {
            shape,
            layout: data.layout(),
            chunks: places.chunks(),
            places,
            store,
            levels: data.terms.first().map_or(0, |t| t.levels),
            log_constant,
            copies,
            grids: Vec::new(),
            reference: Vec::new(),
            u: Vec::new(),
            trial: Vec::new(),
            tangents: None,
            trial_tangents: None,
            last: Vec::new(),
            inverse: Vec::new(),
            passes: 0.0,
            control: Arc::default(),
        };
        block.reset();
        block
    }

    pub fn groups(&self) -> usize {
        self.places.groups()
    }

    /// Number of rows.
    pub fn n(&self) -> usize {
        self.store.n()
    }

    /// Whether the linear predictor of predictor 0 has, random effects aside, a variance above `limit` in some row.
    pub fn any_variance_above(&self, covariance: &[f64], p: usize, limit: f64) -> bool {
        self.store.any_variance_above(covariance, p, limit)
    }

    /// New responses, in the order of the rows given first.
    pub fn set_response(&mut self, y: &[f64]) {
        self.store.set_response(y);
        self.log_constant = self.store.log_constant();
    }

    /// A new problem of some of the groups.
    pub fn subset(&self, groups: &[usize]) -> Block {
        let (places, codes) = self.places.places_of(groups);
        let mut data = self.store.gather(&places, codes, groups.len(), &self.shape);
        data.copies = self.copies.as_ref().map(|c| groups.iter().map(|&g| c[self.places.level[g] as usize]).collect());
        let mut block = Block::new(&data);
        block.set_control(&self.control);
        block
    }

    /// All rows, group by group, as data of their own.
    pub fn data(&self) -> Data {
        let groups: Vec<usize> = (0..self.groups()).collect();
        let (places, codes) = self.places.places_of(&groups);
        let mut data = self.store.gather(&places, codes, groups.len(), &self.shape);
        // What is known of all rows together.
        data.constants = Some(vec![self.log_constant / data.n() as f64; data.n()]);
        data
    }

    fn q(&self) -> usize {
        self.store.z.len()
    }

    /// The block-diagonal factor of all terms.
    fn lambda(&self, psi: &[f64]) -> Vec<f64> {
        let q = self.q();
        let (mut lambda, mut first) = (vec![0.0; q * q], 0);
        for (term, theta) in self.shape.terms.iter().zip(&self.layout.theta) {
            let size = term.effects();
            let mut small = vec![0.0; size * size];
            term.structure.factor(&psi[theta.clone()], &mut small);
            place(&small, size, first, q, &mut lambda);
            first += size;
        }
        lambda
    }

    fn directions(&self, psi: &[f64]) -> Vec<(usize, Direction)> {
        let q = self.q();
        let columns = self.store.coefficient.iter().enumerate();
        let mut directions: Vec<(usize, Direction)> =
            columns.filter_map(|(a, p)| p.map(|p| (p, Direction::Column(a)))).collect();
        let mut first = 0;
        for (term, theta) in self.shape.terms.iter().zip(&self.layout.theta) {
            let size = term.effects();
            for j in 0..theta.len() {
                let (mut small, mut full) = (vec![0.0; size * size], vec![0.0; q * q]);
                term.structure.derivative(&psi[theta.clone()], j, &mut small);
                place(&small, size, first, q, &mut full);
                directions.push((theta.start + j, Direction::Factor(in_all_lanes(&full))));
            }
            first += size;
        }
        directions
    }

    /// How many groups a group stands for.
    fn copies_of(&self, group: usize) -> f64 {
        self.copies.as_ref().map_or(1.0, |c| c[self.places.level[group] as usize])
    }

    fn keeps_tangents(&self) -> bool {
        let numbers = self.u.len() * LANES * self.layout.total;
        self.q() > 0 && numbers <= TANGENT_NUMBERS_PER_ROW * self.n().max(PARALLEL_ROWS)
    }

    /// Starts the trial modes at u + du (psi - at), the first-order prediction; false where there is none.
    fn predict_modes(&mut self, psi: &[f64]) -> bool {
        self.trial.copy_from_slice(&self.u);
        let (q, p) = (self.q(), self.layout.total);
        let Some(tangents) = &self.tangents else { return false };
        let change: Vec<f64> = psi.iter().zip(&tangents.at).map(|(x, y)| x - y).collect();
        for (u, du) in self.trial.chunks_exact_mut(q).zip(tangents.du.chunks_exact(q * p)) {
            for (du, change) in du.chunks_exact(q).zip(&change) {
                u.iter_mut().zip(du).for_each(|(u, d)| *u += *d * *change);
            }
        }
        true
    }

    /// All that one chunk of tiles contributes.
    fn part(&self, slots: Slots<'_>, job: &Job<'_>) -> Result<Part, Reject> {
        vectorized(
            #[inline(always)]
            || {
                let mut part = Err(Reject::NoMode);
                let mut slots = Some(slots);
                by_size(
                    self.q(),
                    #[inline(always)]
                    |q| {
                        if let Some(slots) = slots.take() {
                            part = self.part_of_size(q, slots, job);
                        }
                    },
                );
                part
            },
        )
    }

    #[inline(always)]
    fn part_of_size(&self, q: usize, slots: Slots<'_>, job: &Job<'_>) -> Result<Part, Reject> {
        let (p, tiles) = (self.store.columns.len(), &self.places.tiles[slots.tiles.clone()]);
        let mut work = Work::new(&self.store, job, &tiles[0]);
        let (mut search, mut point) = (Search::new(q), Point::new(p, q));
        let rows = if job.order == Order::Hessian { self.layout.total } else { 0 };
        let (mut sums, mut kept) = (vec![Sums::new(p, q); 1 + rows], Vec::new());
        let width = if slots.du.is_empty() { 0 } else { q * self.layout.total };
        let mut mean = job.nodes.then(|| Mean::new(p, q, if rows > 0 { job.directions.len() } else { 0 }));
        for (t, tile) in tiles.iter().enumerate() {
            let u = &mut slots.u[t * q..(t + 1) * q];
            work.open(tile);
            work.find_modes(q, u, job.near, &mut search)?;
            let copies = lane_copies(tile.groups, |lane| self.copies_of(tile.group + lane));
            let du = &mut slots.du[t * width..(t + 1) * width];
            match &mut mean {
                None => work.contribute(q, u, copies, &mut point, &mut sums, du)?,
                Some(mean) => {
                    let grid = &self.grids[slots.tiles.start + t];
                    work.contribute_by_nodes(q, u, copies, grid, &mut point, mean, &mut sums, du)?;
                }
            }
            slots.inverse[t * q * q..(t + 1) * q * q].copy_from_slice(&point.c);
            if job.each {
                kept.push(std::mem::replace(&mut sums, vec![Sums::new(p, q); 1 + rows]));
            }
        }
        Ok(Part { sums, tiles: kept, evaluated: work.evaluated })
    }

    /// Runs all chunks, on the threads of the current pool.
    fn parts(&self, arrays: [&mut [Lanes]; 3], job: &Job<'_>) -> Result<Vec<Part>, Reject> {
        let q = self.q();
        let width = if arrays[2].is_empty() { 0 } else { q * self.layout.total };
        let [mut u_rest, mut inverse_rest, mut du_rest] = arrays;
        let mut work = Vec::with_capacity(self.chunks.len());
        for tiles in &self.chunks {
            let u = u_rest.split_off_mut(..tiles.len() * q).expect("one per tile");
            let inverse = inverse_rest.split_off_mut(..tiles.len() * q * q).expect("one per tile");
            let du = du_rest.split_off_mut(..tiles.len() * width).expect("one per tile");
            work.push(Slots { tiles, u, inverse, du });
        }
        let run = |slots: Slots<'_>| {
            proceed(&self.control)?;
            let part = self.part(slots, job)?;
            self.control.advance(part.evaluated);
            Ok(part)
        };
        if self.n() < PARALLEL_ROWS {
            return work.into_iter().map(run).collect();
        }
        work.into_par_iter().map(run).collect()
    }

    /// Sums the parts, in the order of the chunks, into the parameters' own derivatives.
    fn assemble(&self, psi: &[f64], parts: &[Part], order: Order) -> Evaluation {
        let over = |j: usize, of: &dyn Fn(&Sums) -> Lanes| parts.iter().map(|p| of(&p.sums[j]).sum()).sum::<f64>();
        let chain = chain::Chain::new(&self.shape, &self.layout, psi);
        let mut evaluation = self.derivatives(&chain, parts[0].sums.len(), order, &over);
        evaluation.value += self.log_constant;
        evaluation
    }

    /// The parameters' derivatives from sums over groups: `over(j, of)` adds up what `of` picks from the j-th sums.
    fn derivatives(&self, chain: &chain::Chain, count: usize, order: Order, over: &Over<'_>) -> Evaluation {
        let beta = |j: usize| {
            let mut beta = vec![0.0; self.layout.fixed()];
            for (a, p) in self.store.coefficient.iter().enumerate() {
                p.iter().for_each(|p| beta[*p] += over(j, &|s| s.columns[a]));
            }
            beta
        };
        let lambda = |j: usize| {
            let full: Vec<f64> = (0..self.q() * self.q()).map(|i| over(j, &|s| s.lambda[i])).collect();
            self.blocks(&full)
        };
        let hessian = (order == Order::Hessian).then(|| {
            let rows = (1..count).map(|j| chain.gradient(&beta(j), &lambda(j))).collect();
            chain.hessian(rows, &lambda(0))
        });
        Evaluation { value: over(0, &|s| s.value), gradient: chain.gradient(&beta(0), &lambda(0)), hessian }
    }

    /// The diagonal blocks, term by term, of a q x q matrix.
    fn blocks(&self, full: &[f64]) -> Vec<Vec<f64>> {
        let (q, mut first) = (self.q(), 0);
        let mut blocks = Vec::new();
        for term in &self.shape.terms {
            let size = term.effects();
            blocks.push((0..size * size).map(|i| full[(first + i / size) * q + first + i % size]).collect());
            first += size;
        }
        blocks
    }
}

/// The data without their rows.
fn shape(data: &Data) -> Data {
    let none = |columns: &[Column]| columns.iter().map(|_| Column::One).collect::<Vec<_>>();
    let predictor = |p: &Predictor| Predictor { columns: none(&p.columns), offset: None, shares: p.shares };
    let term = |t: &Term| Term::new(Vec::new(), t.levels, none(&t.columns), t.predictors.clone(), t.structure.clone());
    Data {
        family: data.family.clone(),
        y: Vec::new(),
        size: None,
        freq: None,
        predictors: data.predictors.iter().map(predictor).collect(),
        terms: data.terms.iter().map(term).collect(),
        copies: None,
        constants: None,
    }
}

fn in_all_lanes(x: &[f64]) -> Vec<Lanes> {
    x.iter().map(|&x| Lanes([x; LANES])).collect()
}

/// Copies a small square matrix onto the diagonal of a larger one.
fn place(small: &[f64], size: usize, first: usize, q: usize, out: &mut [f64]) {
    for i in 0..size {
        for j in 0..size {
            out[(first + i) * q + first + j] = small[i * size + j];
        }
    }
}

impl Objective for Block {
    fn evaluate(&mut self, psi: &[f64], order: Order, tolerance: f64) -> Result<Evaluation, Reject> {
        let near = self.predict_modes(psi);
        let (lambda, directions) = (in_all_lanes(&self.lambda(psi)), self.directions(psi));
        let job = Job { psi, lambda, directions, order, tolerance, near, nodes: !self.grids.is_empty(), each: false };
        let keeps = order == Order::Hessian && self.keeps_tangents();
        let width = if keeps { self.q() * self.layout.total } else { 0 };
        let (mut trial, mut inverse) = (std::mem::take(&mut self.trial), std::mem::take(&mut self.inverse));
        let mut du = vec![Lanes::ZERO; self.places.tiles.len() * width];
        let parts = self.parts([&mut trial, &mut inverse, &mut du], &job);
        (self.trial, self.inverse) = (trial, inverse);
        let parts = parts?;
        self.passes += parts.iter().map(|p| p.evaluated).sum::<usize>() as f64 / self.n() as f64;
        self.trial_tangents = (width > 0).then(|| Tangents { at: psi.to_vec(), du });
        self.last = psi.to_vec();
        let evaluation = self.assemble(psi, &parts, order);
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
        let (tiles, q) = (self.places.tiles.len(), self.q());
        self.u = vec![Lanes::ZERO; tiles * q];
        self.trial = self.u.clone();
        self.inverse = vec![Lanes::ZERO; tiles * q * q];
        self.tangents = None;
        self.trial_tangents = None;
    }

    fn set_control(&mut self, control: &Arc<Control>) {
        self.control = control.clone();
    }

    fn passes(&self) -> f64 {
        self.passes
    }

    fn posterior(&self) -> Posterior {
        self.modes_by_level()
    }
}
