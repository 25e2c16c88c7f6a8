//! Laplace log-likelihood of models whose random effects share one grouping factor.
//!
//! Given the parameters the groups are independent and every group is a small dense problem. Eight groups are solved
//! at once, side by side in the lanes of vector registers ([`tiles`], [`lanes`]). Chunks of groups are shared among
//! threads; sums over chunks run in a fixed order, so results do not depend on the number of threads. Groups whose
//! effects are a Markov chain, as of autoregressions in time, are solved step by step ([`series`]).

mod choose;
mod integrand;
mod lanes;
mod laplace;
mod modes;
mod moments;
mod nodes;
mod parts;
mod posterior;
mod quadrature;
mod sample;
mod scores;
mod series;
mod store;
mod tiles;
mod work;

use std::ops::Range;
use std::sync::Arc;

use self::lanes::{LANES, Lanes};
use self::laplace::Direction;
use self::quadrature::Grid;
use self::series::{Effects, Steps};
use self::store::Store;
use self::tiles::Tile;
use super::{Evaluation, Objective, Order, Posterior, Reject};
use crate::control::Control;
use crate::design::{Column, Data, Layout, Predictor, Term};

/// Rows below which threads cost more than they give.
pub const PARALLEL_ROWS: usize = 10_000;
/// Mode tangents are kept while they take less than this many numbers per row.
const TANGENT_NUMBERS_PER_ROW: usize = 4;

pub struct Block {
    /// Family, predictors and terms of the problem, without their rows.
    shape: Data,
    layout: Layout,
    places: Arc<tiles::Layout>,
    store: Arc<Store>,
    /// How rows belong to effects where groups are series; columns of effects are then not in the store.
    series: Option<Arc<Effects>>,
    /// The tiles that are evaluated, how many rows they have, and those that a thread takes at a time.
    tiles: Vec<Tile>,
    rows: usize,
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
    /// H^-1 of every tile at the last evaluation, or what stands for it where groups are series.
    inverse: Vec<Lanes>,
    passes: f64,
    control: Arc<Control>,
}

/// What problems of some tiles have in common with that of all.
struct Ground {
    shape: Data,
    layout: Layout,
    places: Arc<tiles::Layout>,
    store: Arc<Store>,
    series: Option<Arc<Effects>>,
    levels: usize,
    copies: Option<Vec<f64>>,
}

struct Tangents {
    at: Vec<f64>,
    du: Vec<Lanes>,
}

/// What every chunk needs to know of an evaluation.
struct Job<'a> {
    psi: &'a [f64],
    /// The steps of groups that are series.
    steps: Option<Steps>,
    /// Otherwise Lambda, the same in every lane.
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

    /// Rows of the Hessian in `p` parameters that are wanted.
    fn hessian_rows(&self, p: usize) -> usize {
        if self.order == Order::Hessian { p } else { 0 }
    }
}

impl Block {
    pub fn new(data: &Data) -> Block {
        Block::take(&mut data.clone())
    }

    /// Whether the groups of `data` are solved step by step, at a cost that grows with the number of their effects.
    pub fn chains(data: &Data) -> bool {
        series::times(data).is_some()
    }

    /// Lays rows out by group. All terms must have the same codes; without terms this is a GLM. Takes the columns and
    /// codes out of `data`, which keeps its shape, responses, sizes, weights and offsets.
    pub fn take(data: &mut Data) -> Block {
        if let (Some((time, z)), [term]) = (series::times(data), &data.terms[..]) {
            let places = tiles::Layout::by_time(&term.codes, term.levels, &time);
            let effects = Effects::take(data, &z, &places);
            return Block::at(data, places, Some(effects));
        }
        let places = match data.terms.first() {
            Some(term) => tiles::Layout::by_code(&term.codes, term.levels),
            None => tiles::Layout::of_runs(data.n()),
        };
        Block::at(data, places, None)
    }

    /// The same with rows at given places.
    fn at(data: &mut Data, places: tiles::Layout, series: Option<Effects>) -> Block {
        let (log_constant, copies, shape) = (data.log_constant(), data.copies.clone(), shape(data));
        data.terms.iter_mut().for_each(|t| t.codes = Vec::new());
        let (layout, levels) = (data.layout(), data.terms.first().map_or(0, |t| t.levels));
        let apart = if series.is_some() { std::mem::take(&mut data.terms) } else { Vec::new() };
        let mut store = Store::take(data, &places);
        if series.is_some() {
            (data.terms, store.random) = (apart, 1);
        }
        let (tiles, ground) = (
            places.tiles.clone(),
            Ground {
                shape,
                layout,
                places: Arc::new(places),
                store: Arc::new(store),
                series: series.map(Arc::new),
                levels,
                copies,
            },
        );
        Block::of_tiles(ground, tiles, log_constant)
    }

    /// A problem of these tiles. Its effects start at zero.
    fn of_tiles(ground: Ground, tiles: Vec<Tile>, log_constant: f64) -> Block {
        let Ground { shape, layout, places, store, series, levels, copies } = ground;
        let mut block = Block {
            shape,
            layout,
            places,
            store,
            series,
            chunks: tiles::chunks(&tiles),
            rows: tiles.iter().map(|t| t.rows).sum(),
            tiles,
            levels,
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
        self.rows
    }

    /// Whether the linear predictor of predictor 0 has, random effects aside, a variance above `limit` in some row.
    pub fn any_variance_above(&self, covariance: &[f64], p: usize, limit: f64) -> bool {
        self.store.any_variance_above(covariance, p, limit)
    }

    /// New responses, in the order of the rows given first.
    pub fn set_response(&mut self, y: &[f64]) {
        Arc::make_mut(&mut self.store).set_response(y, &self.places.row);
        self.log_constant = self.store.log_constant(&self.places.repeats);
    }

    /// Leaves out what only helps a climb.
    pub fn rest(&mut self) {
        (self.tangents, self.trial_tangents) = (None, None);
    }

    /// A new problem of some of the groups.
    pub fn subset(&self, groups: &[usize]) -> Block {
        let (places, codes) = self.places.places_of(groups);
        let mut data = self.gather(&places, codes, groups.len());
        data.copies = self.copies.as_ref().map(|c| groups.iter().map(|&g| c[self.places.level[g] as usize]).collect());
        let mut block = Block::take(&mut data);
        block.set_control(&self.control);
        block
    }

    /// All rows, group by group, as data of their own.
    pub fn data(&self) -> Data {
        let groups: Vec<usize> = (0..self.groups()).collect();
        let (places, codes) = self.places.places_of(&groups);
        let mut data = self.gather(&places, codes, groups.len());
        // What is known of all rows together.
        data.constants = Some(vec![self.log_constant / data.n() as f64; data.n()]);
        data
    }

    /// Rows at some places as data of their own.
    fn gather(&self, places: &[usize], codes: Vec<u32>, levels: usize) -> Data {
        let mut data = self.store.gather(places, codes, levels, &self.shape);
        if let Some(effects) = &self.series {
            data.terms[0].columns = effects.columns(places, &self.places);
        }
        data
    }

    fn q(&self) -> usize {
        self.series.as_ref().map_or(self.store.z.len(), |s| s.q)
    }

    /// Numbers of `inverse` per tile.
    fn kept(&self) -> usize {
        self.q() * if self.series.is_some() { 2 } else { self.q() }
    }

    /// What every chunk needs to know of an evaluation at `psi`.
    fn job<'a>(&self, psi: &'a [f64], order: Order, tolerance: f64) -> Job<'a> {
        let steps = self.steps(psi, order == Order::Hessian);
        let (lambda, directions) = match steps {
            Some(_) => (Vec::new(), Vec::new()),
            None => (in_all_lanes(&self.lambda(psi)), self.directions(psi)),
        };
        let nodes = !self.grids.is_empty();
        Job { psi, steps, lambda, directions, order, tolerance, near: false, nodes, each: false }
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
        let job = Job { near, ..self.job(psi, order, tolerance) };
        let keeps = order == Order::Hessian && self.keeps_tangents();
        let width = if keeps { self.q() * self.layout.total } else { 0 };
        let (mut trial, mut inverse) = (std::mem::take(&mut self.trial), std::mem::take(&mut self.inverse));
        let mut du = vec![Lanes::ZERO; self.tiles.len() * width];
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
        let (tiles, q) = (self.tiles.len(), self.q());
        self.u = vec![Lanes::ZERO; tiles * q];
        self.trial = self.u.clone();
        self.inverse = vec![Lanes::ZERO; tiles * self.kept()];
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
