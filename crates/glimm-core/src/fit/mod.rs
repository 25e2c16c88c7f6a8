//! From data to a maximum-likelihood fit.

mod apart;
mod at;
mod finish;
mod glide;
mod importance;
mod inference;
mod integrate;
mod iterative;
mod lmm;
mod many;
pub mod memory;
mod options;
mod path;
mod profile;
mod refusals;
mod rescale;
mod restricted;
mod scores;
mod settings;
mod settle;
mod standard;
mod start;

pub use inference::{Identified, Verdict};
pub use many::Replicate;
pub use options::{Options, Tie};
pub use path::Path;
pub use profile::{Ending, Goal, Profile, Profiled, Share, Wanted};
pub use scores::Scores;
pub use standard::Aliased;

use std::sync::Arc;

use self::path::{Engine, natural, one_factor};
use self::refusals::{perfect, refuse_constant};
use self::settings::prior;
use self::standard::Standard;
use crate::compress::Compressed;
use crate::control::Control;
use crate::design::{Data, Layout};
use crate::error::Error;
use crate::integration::{Certificate, Integration};
use crate::objective::block::Block;
use crate::objective::crossed::{Crossed, Restricted};
use crate::objective::lmm::Lmm;
use crate::objective::penalty::{Penalised, Prior};
use crate::objective::{Evaluation, Objective, Posterior, Units};
use crate::optim::{Curvature, Outcome, Reason, Settings, maximise};

/// Rows and groups beyond which the climb starts from a sample of the groups.
const SAMPLE_ROWS: usize = 20_000;
const SAMPLE_GROUPS: usize = 1_500;
/// Groups in the sample, and how many times as many a larger one has at least.
const SAMPLE_LEAST: usize = 500;
const SAMPLE_STEP: usize = 3;
/// Squared distance, in its standard errors, from which one step on it is enough.
const SAMPLE_NEAR: f64 = 1e3;
/// Newton decrement of the modes during the climb, and at the end where results are taken.
const INNER: f64 = 1e-7;
const INNER_LAST: f64 = 1e-13;
/// Squared distance to the maximum, in standard errors, at which a climb stops.
const DECREMENT: f64 = 1e-8;
/// The same for a climb by exact Newton steps, whose last step squares the distance; the evaluation that
/// follows it says whether it did.
const NEAR: f64 = 1e-4;
/// The distance at which a fit counts as converged all the same.
const CONVERGED: f64 = 1e-5;
const MAX_ITERATIONS: usize = 100;
/// Quasi-Newton steps of crossed models after which exact ones take over: where covariances are
/// singular, only these know the way.
const QUASI_STEPS: usize = 20;
/// Climbs by exact Newton steps after the first climb, where that did not reach the top.
const MORE_CLIMBS: usize = 2;
/// Standard deviation of an effect, in units of the linear predictor, that is tried as exactly zero.
const ZERO_SD: f64 = 1e-4;
/// Least standard deviation of an effect in a warm start.
const WARM_SD: f64 = 0.1;
/// Loss of log-likelihood by which a zero counts as no worse: rounding.
const NO_WORSE: f64 = 1e-9;
/// Starts with ever weaker random effects that are tried.
const REDUCED: usize = 3;
/// Multiplications of a brief fit, over all rows.
const BRIEF: usize = 200_000;
/// Residual standard deviation, relative to the response's, of a model that reproduces it exactly.
const PERFECT: f64 = 1e-6;

/// Data in standard units with everything that does not depend on parameters or responses.
pub struct Problem {
    /// Standardised data in the order given; that of one factor has only its responses here, the columns are the engine's.
    data: Data,
    sample: start::Sample,
    layout: Layout,
    standard: Standard,
    engine: Engine,
    path: Path,
    weight: f64,
    log_scale: f64,
    compressed: Option<Compressed>,
    memory: u64,
    prior: Option<Prior>,
    integration: Integration,
    control: Arc<Control>,
    /// The size of a notable effect on the link scale, once it is known.
    unit: Option<f64>,
}

/// A fit, in the user's units.
pub struct Fitted {
    pub psi: Vec<f64>,
    pub loglik: f64,
    pub verdict: Verdict,
    pub posterior: Posterior,
    pub reason: Reason,
    pub iterations: usize,
    pub evaluations: usize,
    pub passes: f64,
    /// Largest error of an estimate due to the draws of an iterative engine, in standard errors, and the
    /// standard error of the log-likelihood; zero when exact.
    pub draws_se: f64,
    pub loglik_se: f64,
    /// How wrong the integral over the random effects can be.
    pub certificate: Certificate,
}

/// Called once per iteration with (stage, iteration, log-likelihood, decrement); false stops the fit.
pub type Observer<'a> = &'a mut dyn FnMut(&'static str, usize, f64, f64) -> bool;

impl Problem {
    /// Checks the data, compresses them where that pays and brings them to standard units.
    pub fn new(data: Data, options: &Options) -> Result<Problem, Error> {
        data.check()?;
        let path = natural(&data, options)?;
        refuse_constant(&data)?;
        let (mut data, compressed, memory) = options.reduce(data, path)?;
        options.check_ties(&data)?;
        let tied = options.tied_terms(data.terms.len());
        let standard = Standard::new(&mut data, &tied);
        if options.reml && path != Path::Lmm {
            restricted::refuse(&data, options)?;
        }
        let layout = data.layout();
        if data.family.affine() && standard.kept[0].len() >= data.n() {
            return Err(Error::Degenerate {
                why: format!(
                    "{} rows cannot tell {} coefficients and a residual variance apart",
                    data.n(),
                    standard.kept[0].len()
                ),
            });
        }
        let (weight, log_scale, sample) = (data.weight(), standard.log_scale(&data), start::Sample::new(&data));
        let (path, engine) = match path {
            Path::Lmm => (path, Engine::Lmm(Box::new(Lmm::new(&data, options.reml)?))),
            Path::Glm | Path::Block => (path, Engine::Block(Box::new(Block::take(&mut data)))),
            _ if options.reml => {
                let restricted = Restricted::new(&mut data, options.engine)?;
                (Path::of(restricted.plan().engine()), Engine::Restricted(Box::new(restricted)))
            }
            Path::Dense | Path::Sparse | Path::Iterative => {
                let crossed = Crossed::new(&data, options.engine)?;
                (Path::of(crossed.plan().engine()), Engine::Crossed(Box::new(crossed)))
            }
        };
        let memory = memory::within(memory + engine.storage(), options.memory)?;
        let prior = prior(options, &data, &standard);
        if prior.is_some() && path == Path::Iterative {
            let why =
                "a penalty, or parameters that are held or shared, need an engine without draws, 'dense' or 'sparse'"
                    .into();
            return Err(Error::Engine { name: "iterative", why });
        }
        let integration = options.integration;
        Ok(Problem {
            data,
            sample,
            layout,
            standard,
            engine,
            path,
            weight,
            log_scale,
            compressed,
            memory,
            prior,
            integration,
            control: options.control.clone(),
            unit: None,
        })
    }

    /// What is climbed.
    fn objective(&mut self) -> Penalised<'_> {
        Penalised { objective: self.engine.objective(), prior: self.prior.as_ref() }
    }

    /// Bytes that a fit takes at its peak.
    pub fn memory(&self) -> u64 {
        self.memory
    }

    /// Whom to ask whether to stop from now on.
    pub fn set_control(&mut self, control: &Arc<Control>) {
        self.control = control.clone();
        self.objective().set_control(control);
    }

    /// What compression did, if it was used; responses are then part of the compressed data.
    pub fn compressed(&self) -> Option<&Compressed> {
        self.compressed.as_ref()
    }

    pub fn path(&self) -> Path {
        self.path
    }

    /// Whether a fit takes so little, a few thousandths of a second, that it is over before anybody could stop it.
    pub fn is_brief(&self) -> bool {
        let width = self.data.predictors[0].columns.len() + self.data.terms.iter().map(|t| t.effects()).sum::<usize>();
        matches!(&self.engine, Engine::Lmm(l) if !l.is_crossed()) && self.data.n() * width * width <= BRIEF
    }

    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Columns of each predictor that are estimated.
    pub fn kept(&self) -> &[Vec<usize>] {
        &self.standard.kept
    }

    /// (Predictor, column) of those that are not.
    pub fn dropped(&self) -> &[([usize; 2], Aliased)] {
        &self.standard.dropped
    }

    /// Maximises the likelihood, from `warm` (a previous fit's parameters) or from scratch.
    pub fn fit(&mut self, warm: Option<&[f64]>, observe: Observer<'_>) -> Result<Fitted, Error> {
        let warm = warm.map(|psi| self.standard_parameters(psi)).transpose()?;
        if let Engine::Lmm(lmm) = &mut self.engine {
            let mut climb = lmm::Climb { lmm, terms: &self.data.terms };
            let (outcome, top) = climb.run(warm.as_deref(), observe)?;
            return self.finish_linear(Outcome { psi: top.psi, ..outcome }, top.evaluation);
        }
        let before = self.objective().passes();
        self.objective().reset();
        if let Engine::Block(block) = &mut self.engine {
            block.forget_nodes();
        }
        let warmed = warm.is_some();
        let start = match warm {
            Some(psi) => {
                if self.unit.is_none() {
                    self.start();
                }
                self.lift(psi)
            }
            None => self.start(),
        };
        if self.path == Path::Iterative {
            return self.fit_iterative(start, before, observe);
        }
        let crossed = matches!(self.path, Path::Dense | Path::Sparse);
        let nested = if crossed { self.nested()? } else { None };
        if self.path == Path::Block {
            self.refuse_products()?;
        }
        let laplace = self.fit_laplace(start, warmed, observe);
        if let Some(nested) = nested {
            return self.integrate_nested(nested, laplace, before, observe);
        }
        let series = self.path == Path::Block && path::series(&self.data);
        if self.path != Path::Block || series {
            let (outcome, last) = laplace?;
            return match (crossed || series) && !self.restricted() && !path::linear(&self.data) {
                true => self.finish_crossed(outcome, last, before, observe),
                false => self.finish(outcome, last, before),
            };
        }
        let found = self.integrate(laplace, observe)?;
        self.finish_integrated(found, before)
    }

    /// The maximum of Laplace's approximation, with all derivatives there.
    fn fit_laplace(
        &mut self,
        start: Vec<f64>,
        warm: bool,
        observe: Observer<'_>,
    ) -> Result<(Outcome, Evaluation), Error> {
        let mut outcome = self.climb(start, warm, observe)?;
        if self.residual_sd(&outcome.psi).is_some_and(|sd| sd < PERFECT) {
            return Err(perfect());
        }
        let mut last = self.settle(&mut outcome, observe)?;
        self.join(&mut outcome.psi, &mut last);
        Ok((outcome, last))
    }

    /// A start from scratch, which also tells the size of a notable effect.
    fn start(&mut self) -> Vec<f64> {
        let (mut psi, unit) = start::start(&self.sample, &self.data.terms, &self.reach(), self.prior.as_ref());
        self.unit = Some(unit);
        self.tie(&mut psi);
        psi
    }

    /// The size of a notable effect: standardised responses and links without units have theirs near one.
    fn unit(&self) -> f64 {
        let free = self.data.family.affine() || !self.data.family.link().in_units();
        if free { 1.0 } else { self.unit.unwrap_or(f64::INFINITY) }
    }

    /// A start away from singular covariances, where the likelihood is flat in theta by symmetry.
    fn lift(&self, mut psi: Vec<f64>) -> Vec<f64> {
        let unit = self.residual_sd(&psi).unwrap_or(self.unit());
        for (term, range) in self.data.terms.iter().zip(&self.layout.theta) {
            term.structure.raise(&mut psi[range.clone()], WARM_SD * unit);
        }
        self.tie(&mut psi);
        psi
    }

    /// The climb to the top, by the route that suits the size and the structure.
    fn climb(&mut self, start: Vec<f64>, warm: bool, observe: Observer<'_>) -> Result<Outcome, Error> {
        let mut start = match &self.engine {
            Engine::Block(_) if !warm => self.climb_samples(&start, observe).unwrap_or(start),
            Engine::Crossed(_) if !warm => self.climb_apart(&start, observe).unwrap_or(start),
            _ => start,
        };
        // Exact derivatives are dear where several factors hang together.
        let quasi = match self.engine {
            Engine::Restricted(_) => !one_factor(&self.data),
            _ => matches!(self.engine, Engine::Crossed(_)),
        };
        // Too strong random effects at the start can overflow; weaker ones cannot.
        for _ in 0..=REDUCED {
            let settings = match quasi {
                true => Settings { max_iterations: QUASI_STEPS, ..self.settings(Curvature::Updated, DECREMENT, INNER) },
                false => self.settings(Curvature::Exact, NEAR, INNER),
            };
            let mut objective = self.objective();
            let outcome = maximise(&mut objective, &start, settings, &mut |i, v, d| observe("climb", i, v, d));
            match outcome.reason {
                Reason::Interrupted => return Err(Error::Interrupted),
                Reason::BadStart => {}
                _ => return Ok(outcome),
            }
            self.layout.theta.iter().flat_map(|r| r.clone()).for_each(|j| start[j] *= 0.1);
            self.tie(&mut start);
        }
        Err(self.no_value("at any starting point"))
    }

    /// A maximum on a sample of the groups, then one step on a larger one: each stage has as much more groups than the one
    /// before as the next.
    fn climb_samples(&mut self, start: &[f64], observe: Observer<'_>) -> Option<Vec<f64>> {
        let Engine::Block(block) = &self.engine else { return None };
        let (n, groups) = (self.data.n(), block.groups());
        if n < SAMPLE_ROWS || groups < SAMPLE_GROUPS || self.data.terms.is_empty() {
            return None;
        }
        let first = self.climb_sample(SAMPLE_LEAST, start, 1e-2, observe)?;
        let larger = (SAMPLE_LEAST * groups).isqrt();
        if larger < SAMPLE_STEP * SAMPLE_LEAST {
            return Some(first);
        }
        self.climb_sample(larger, &first, SAMPLE_NEAR, observe).or(Some(first))
    }

    /// A climb on so many groups to the given decrement, with the step from there.
    fn climb_sample(
        &mut self,
        groups: usize,
        start: &[f64],
        decrement: f64,
        observe: Observer<'_>,
    ) -> Option<Vec<f64>> {
        let Engine::Block(block) = &self.engine else { return None };
        let (chosen, mut sample) = block.sample(groups);
        let settings = self.settings(Curvature::Exact, decrement, INNER);
        // Coefficients' priors are for all groups.
        let tied = self.prior.as_ref().map(|p| Prior { tied: p.tied.clone(), ..Prior::default() });
        let mut objective = Penalised { objective: &mut sample, prior: tied.as_ref() };
        let outcome = maximise(&mut objective, start, settings, &mut |i, v, d| observe("sample", i, v, d));
        if outcome.reason != Reason::Converged {
            return None;
        }
        if let Engine::Block(block) = &mut self.engine {
            block.adopt(&chosen, &sample);
        }
        let mut psi = outcome.psi;
        // Here this costs no search for modes anew.
        self.orient(&mut psi);
        Some(psi)
    }

    /// Residual standard deviation in standard units, for families fitted to a standardised response.
    fn residual_sd(&self, psi: &[f64]) -> Option<f64> {
        let intercept = self.standard.dispersion_intercept?;
        self.data.family.affine().then(|| psi[self.layout.beta[1].start + intercept].exp())
    }

    /// The dispersion parameter where one of zero means responses equal to their means.
    fn spread(&self, psi: &[f64]) -> Option<f64> {
        let dispersion = self.data.family.parameters().first().filter(|p| p.dispersion && p.precision < 0.0)?;
        let intercept = self.standard.dispersion_intercept?;
        Some(dispersion.scale.parameter(psi[self.layout.beta[1].start + intercept]))
    }

    /// The same covariances with factors whose diagonal is not negative; whether any was.
    fn orient(&mut self, psi: &mut [f64]) -> bool {
        let mut flipped = false;
        for (term, range) in self.data.terms.iter().zip(&self.layout.theta) {
            flipped |= term.structure.orient(&mut psi[range.clone()]);
        }
        if flipped {
            self.objective().reset();
        }
        self.tie(psi);
        flipped
    }

    /// Gives parameters that are tied the values they have to have.
    fn tie(&self, psi: &mut [f64]) {
        if let Some(prior) = &self.prior {
            prior.tie(psi);
        }
    }
}
