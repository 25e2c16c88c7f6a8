//! Data met by a model, held in Rust; only parameters and results cross afterwards.

use glimm_core::compress::When;
use glimm_core::control::{Control, Report};
use glimm_core::error::Error;
use glimm_core::fit::{
    Aliased, Fitted, Goal, Identified, Options, Problem as Core, Profile, Replicate, Share, Tie, Wanted,
};
use glimm_core::integration::{Certificate, Integration};
use glimm_core::objective::crossed::Engine;
use glimm_core::objective::penalty::Penalty;
use numpy::{IntoPyArray, PyArray1};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::convert::{Arrays, FamilyName, PredictorArrays, TermArrays, Vector, vector};
use crate::seam::enter;
use crate::threads::Threads;

/// ("linear", weights, [], []), ("sd", [], row, []) or ("angle", [], row, row).
type GoalArrays = (String, Vec<f64>, Vec<usize>, Vec<usize>);

fn goal((kind, weights, first, second): GoalArrays) -> Result<Goal, Error> {
    match kind.as_str() {
        "linear" => Ok(Goal::Linear(weights)),
        "sd" => Ok(Goal::Sd(first)),
        "angle" => Ok(Goal::Angle(first, second)),
        "share" => Ok(Goal::Share(share(&weights, first, &second))),
        _ => Err(Error::Unknown {
            what: "goal",
            name: kind,
            allowed: ["linear", "sd", "angle", "share"].map(String::from).to_vec(),
        }),
    }
}

/// `weights`: the constant, those of products, those of logs; `places`: how many products, their pairs, the logs.
fn share(weights: &[f64], row: Vec<usize>, places: &[usize]) -> Share {
    let count = places.first().copied().unwrap_or(0);
    let (pairs, logs) = places.get(1..).unwrap_or(&[]).split_at((2 * count).min(places.len().saturating_sub(1)));
    let mut of = weights.iter().copied();
    let constant = of.next().unwrap_or(0.0);
    let products = pairs.chunks_exact(2).zip(of.by_ref().take(count)).map(|(p, w)| (p[0], p[1], w)).collect();
    Share { row, products, logs: logs.iter().copied().zip(of).collect(), constant }
}

/// A value, its gradient and its Hessian.
type Derivatives<'py> = (f64, Bound<'py, PyArray1<f64>>, Bound<'py, PyArray1<f64>>);

/// (Term, parameter), the one that it equals, the value at which it is held.
type TieArrays = ((usize, usize), Option<(usize, usize)>, f64);

/// A number before and after compression.
type Change = (usize, usize);
/// Gradients, Hessians, the unit of each row.
type ScoreArrays<'py> = (Bound<'py, PyArray1<f64>>, Option<Bound<'py, PyArray1<f64>>>, Bound<'py, PyArray1<u32>>);

#[pyclass(module = "glimm._core", frozen)]
pub struct Problem {
    core: Mutex<Core>,
    threads: Threads,
    /// Where a fit runs: handing a brief one over would take longer than itself.
    for_fits: Threads,
}

#[pymethods]
impl Problem {
    #[new]
    #[pyo3(signature = (
        family, y, size, freq, predictors, terms, reml=false, threads=None, engine="auto", laplace=false,
        integration="auto",
        compress=None, memory=None, penalty=None, ties=Vec::new()
    ))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        py: Python<'_>,
        family: FamilyName,
        y: Vector<'_>,
        size: Option<Vector<'_>>,
        freq: Option<Vector<'_>>,
        predictors: Vec<PredictorArrays<'_>>,
        terms: Vec<TermArrays<'_>>,
        reml: bool,
        threads: Option<usize>,
        engine: &str,
        laplace: bool,
        integration: &str,
        compress: Option<bool>,
        memory: Option<u64>,
        penalty: Option<(Vec<Vec<f64>>, f64, f64)>,
        ties: Vec<TieArrays>,
    ) -> PyResult<Problem> {
        let data = Arrays { family, y, size, freq, predictors, terms }.data()?;
        let (engine, integration) = (Engine::lookup(engine), Integration::lookup(integration));
        let threads = Threads::for_rows(data.n(), threads)?;
        let compress = match compress {
            None => When::Pays,
            Some(true) => When::Always,
            Some(false) => When::Never,
        };
        let core = enter(py, threads, None, |control| {
            let penalty = penalty.map(|(scales, df, power)| Penalty { scales, df, power });
            let control = control.clone();
            let integration = integration?;
            let ties = ties.into_iter().map(|(parameter, to, value)| Tie { parameter, to, value }).collect();
            let options =
                Options { engine: engine?, laplace, integration, reml, compress, memory, penalty, ties, control };
            Core::new(data, &options)
        })?;
        let for_fits = if core.is_brief() { Threads::Caller } else { threads };
        Ok(Problem { core: Mutex::new(core), threads, for_fits })
    }

    /// Maximises the likelihood; `start` are parameters of an earlier fit of the same problem.
    /// `progress` is called now and then with (stage, iteration, log-likelihood, decrement, rows done).
    #[pyo3(signature = (start=None, progress=None))]
    fn fit<'py>(
        &self,
        py: Python<'py>,
        start: Option<Vector<'py>>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let start = start.as_ref().map(vector);
        let fitted = enter(py, self.for_fits, progress.as_ref(), |control| self.run(start.as_deref(), control))?;
        self.report(py, fitted)
    }

    /// The same with new responses for the same rows.
    #[pyo3(signature = (y, start=None, progress=None))]
    fn refit<'py>(
        &self,
        py: Python<'py>,
        y: Vector<'py>,
        start: Option<Vector<'py>>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let (y, start) = (vector(&y), start.as_ref().map(vector));
        let fitted = enter(py, self.for_fits, progress.as_ref(), |control| {
            self.lock().set_response(&y)?;
            self.run(start.as_deref(), control)
        })?;
        self.report(py, fitted)
    }

    /// Log-likelihood and gradient at the user's parameters; None where there is no value.
    fn evaluate<'py>(
        &self,
        py: Python<'py>,
        parameters: Vector<'py>,
    ) -> PyResult<Option<(f64, Bound<'py, PyArray1<f64>>)>> {
        let psi = vector(&parameters);
        let found = enter(py, self.threads, None, |control| {
            let core: &mut Core = &mut self.lock();
            core.set_control(control);
            core.evaluate(&psi)
        })?;
        Ok(found.map(|(value, gradient)| (value, gradient.into_pyarray(py))))
    }

    /// Gradient and, if asked for, Hessian of each independent unit's log-likelihood at the user's parameters, one
    /// after the other; and the unit of every row.
    #[pyo3(signature = (parameters, hessian=false))]
    fn scores<'py>(&self, py: Python<'py>, parameters: Vector<'py>, hessian: bool) -> PyResult<ScoreArrays<'py>> {
        let psi = vector(&parameters);
        let found = enter(py, self.threads, None, |control| {
            let core: &mut Core = &mut self.lock();
            core.set_control(control);
            core.scores(&psi, hessian)
        })?;
        let hessians = found.hessians.map(|h| h.into_pyarray(py));
        Ok((found.gradients.into_pyarray(py), hessians, found.unit.into_pyarray(py)))
    }

    /// Profiles of several goals about the maximum at `parameters`: per goal the numbers wanted, which are signed roots
    /// (`roots`, on both sides) or values of the goal.
    #[pyo3(signature = (parameters, goals, numbers, roots=true, progress=None))]
    fn profile<'py>(
        &self,
        py: Python<'py>,
        parameters: Vector<'py>,
        goals: Vec<GoalArrays>,
        numbers: Vec<Vec<f64>>,
        roots: bool,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let psi = vector(&parameters);
        let found = enter(py, self.threads, progress.as_ref(), |control| {
            let wanted = |n: Vec<f64>| if roots { Wanted::Roots(n) } else { Wanted::Values(n) };
            let goals: Vec<(Goal, Wanted)> =
                goals.into_iter().zip(numbers).map(|(g, n)| Ok((goal(g)?, wanted(n)))).collect::<Result<_, Error>>()?;
            let core: &mut Core = &mut self.lock();
            core.set_control(control);
            core.profile(&psi, &goals)
        })?;
        found.into_iter().map(|p| profiled(py, p)).collect()
    }

    /// Log-likelihood, gradient and Hessian (row by row) at the user's parameters; None where there is no value.
    fn evaluate_twice<'py>(&self, py: Python<'py>, parameters: Vector<'py>) -> PyResult<Option<Derivatives<'py>>> {
        let psi = vector(&parameters);
        let found = enter(py, self.threads, None, |control| {
            let core: &mut Core = &mut self.lock();
            core.set_control(control);
            core.evaluate_twice(&psi)
        })?;
        let arrays = |e: glimm_core::objective::Evaluation| {
            (e.value, e.gradient.into_pyarray(py), e.hessian.unwrap_or_default().into_pyarray(py))
        };
        Ok(found.map(arrays))
    }

    #[getter]
    fn path(&self) -> &'static str {
        self.lock().path().name()
    }

    #[getter]
    fn threads(&self) -> usize {
        self.threads.count()
    }

    /// Rows before and after compression, then groups (None where they were not merged); None without.
    #[getter]
    fn compressed(&self) -> Option<(Change, Option<Change>)> {
        let pair = |[before, after]: [usize; 2]| (before, after);
        self.lock().compressed().map(|c| (pair(c.rows), c.groups.map(pair)))
    }

    /// Bytes that a fit takes at its peak.
    #[getter]
    fn memory(&self) -> u64 {
        self.lock().memory()
    }

    /// Columns of each predictor's X that are estimated.
    #[getter]
    fn kept(&self) -> Vec<Vec<usize>> {
        self.lock().kept().to_vec()
    }

    /// (predictor, column of its X, "constant" or "collinear") for those that are not.
    #[getter]
    fn aliased(&self) -> Vec<(usize, usize, &'static str)> {
        let name = |a: Aliased| match a {
            Aliased::Constant => "constant",
            Aliased::Collinear => "collinear",
        };
        self.lock().dropped().iter().map(|&([k, j], a)| (k, j, name(a))).collect()
    }
}

impl Problem {
    /// A panic elsewhere leaves the numbers as they were: the next call starts from its own.
    fn lock(&self) -> std::sync::MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn run(&self, start: Option<&[f64]>, control: &Arc<Control>) -> Result<Fitted, Error> {
        let core: &mut Core = &mut self.lock();
        core.set_control(control);
        control.tell(Report { stage: "start", iteration: 0, loglik: f64::NAN, decrement: f64::INFINITY });
        let mut observe = |stage: &'static str, iteration: usize, loglik: f64, decrement: f64| {
            control.tell(Report { stage, iteration, loglik, decrement })
        };
        core.fit(start, &mut observe)
    }

    fn report<'py>(&self, py: Python<'py>, f: Fitted) -> PyResult<Bound<'py, PyDict>> {
        let out = PyDict::new(py);
        let layout = self.lock().layout().clone();
        let state = |s: &Identified| match s {
            Identified::Yes => "yes",
            Identified::No => "no",
            Identified::Runaway => "runaway",
        };
        out.set_item("parameters", f.psi.into_pyarray(py))?;
        out.set_item("fixed", layout.beta.iter().map(|r| (r.start, r.end)).collect::<Vec<_>>())?;
        out.set_item("theta", layout.theta.iter().map(|r| (r.start, r.end)).collect::<Vec<_>>())?;
        out.set_item("loglik", f.loglik)?;
        out.set_item("covariance", f.verdict.covariance.into_pyarray(py))?;
        out.set_item("identified", f.verdict.identified.iter().map(state).collect::<Vec<_>>())?;
        out.set_item("converged", f.verdict.converged)?;
        out.set_item("loglik_left", f.verdict.loglik_left)?;
        out.set_item("se_moved", f.verdict.se_moved)?;
        out.set_item("reason", format!("{:?}", f.reason))?;
        out.set_item("iterations", f.iterations)?;
        out.set_item("evaluations", f.evaluations)?;
        out.set_item("passes", f.passes)?;
        out.set_item("draws_se", f.draws_se)?;
        out.set_item("loglik_se", f.loglik_se)?;
        out.set_item("certificate", certificate(py, f.certificate)?)?;
        let arrays = |v: Vec<Vec<f64>>| v.into_iter().map(|m| m.into_pyarray(py)).collect::<Vec<_>>();
        out.set_item("modes", arrays(f.posterior.modes))?;
        out.set_item("covariances", arrays(f.posterior.covariances))?;
        Ok(out)
    }
}

/// Refits to each row of `ys` (of n columns each), shared among the problems, which must be alike: parameters, covariances
/// and log-likelihoods of each, and what became of it. The numbers do not depend on how many problems there are.
#[pyfunction]
#[pyo3(signature = (problems, ys, n, start, nodes, progress=None))]
pub fn refit_many<'py>(
    py: Python<'py>,
    problems: Vec<Py<Problem>>,
    ys: Vector<'py>,
    n: usize,
    start: Vector<'py>,
    nodes: usize,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let (ys, start) = (vector(&ys), vector(&start));
    let count = ys.len() / n.max(1);
    let found = enter(py, Threads::One, progress.as_ref(), |control| {
        deal(count, problems.len(), control, |i, worker| {
            let problem = problems[worker].get();
            let core = &mut *problem.lock();
            core.set_control(control);
            problem.threads.run(|| core.replicate(&ys[i * n..(i + 1) * n], &start, nodes))
        })
    })?;
    replicates(py, &found, start.len())
}

/// Refits of problems that need not be alike, each to its own responses and from `start`, on so many threads.
#[pyfunction]
#[pyo3(signature = (problems, ys, start, nodes, threads, progress=None))]
pub fn refit_each<'py>(
    py: Python<'py>,
    problems: Vec<Py<Problem>>,
    ys: Vec<Vector<'py>>,
    start: Vector<'py>,
    nodes: usize,
    threads: usize,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let (ys, start) = (ys.iter().map(vector).collect::<Vec<_>>(), vector(&start));
    let count = problems.len().min(ys.len());
    let found = enter(py, Threads::One, progress.as_ref(), |control| {
        deal(count, threads.clamp(1, count.max(1)), control, |i, _| {
            let problem = problems[i].get();
            let core = &mut *problem.lock();
            core.set_control(control);
            problem.threads.run(|| core.replicate(&ys[i], &start, nodes))
        })
    })?;
    replicates(py, &found, start.len())
}

/// What became of each refit; None where none was made.
type Refits = Vec<Option<Result<Replicate, Error>>>;

/// What `work` finds for each of `count` tasks, which the workers take in turn.
fn deal(
    count: usize,
    workers: usize,
    control: &Arc<Control>,
    work: impl Fn(usize, usize) -> Result<Replicate, Error> + Sync,
) -> Result<Refits, Error> {
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let run = |worker: usize| {
        let mut own = Vec::new();
        loop {
            let i = next.fetch_add(1, Ordering::Relaxed);
            if i >= count || control.stopped() {
                return own;
            }
            own.push((i, work(i, worker)));
            let iteration = done.fetch_add(1, Ordering::Relaxed) + 1;
            control.tell(Report { stage: "refits", iteration, loglik: f64::NAN, decrement: f64::INFINITY });
        }
    };
    let mut all: Refits = vec![None; count];
    std::thread::scope(|scope| {
        let handles: Vec<_> = (0..workers).map(|w| scope.spawn(move || run(w))).collect();
        for (i, found) in handles.into_iter().filter_map(|h| h.join().ok()).flatten() {
            all[i] = Some(found);
        }
    });
    if control.stopped() { Err(Error::Interrupted) } else { Ok(all) }
}

/// Refits as columns; NaN where there is none.
fn replicates<'py>(
    py: Python<'py>,
    found: &[Option<Result<Replicate, Error>>],
    p: usize,
) -> PyResult<Bound<'py, PyDict>> {
    let of = |r: &Option<Result<Replicate, Error>>, size: usize, part: fn(&Replicate) -> Vec<f64>| match r {
        Some(Ok(r)) => part(r),
        _ => vec![f64::NAN; size],
    };
    let column = |size: usize, part: fn(&Replicate) -> Vec<f64>| -> Vec<f64> {
        found.iter().flat_map(|r| of(r, size, part)).collect()
    };
    let state = |r: &Option<Result<Replicate, Error>>| match r {
        Some(Ok(r)) if r.converged => "converged",
        Some(Ok(_)) => "not_converged",
        Some(Err(error)) => error.code(),
        None => "internal",
    };
    let out = PyDict::new(py);
    out.set_item("parameters", column(p, |r| r.psi.clone()).into_pyarray(py))?;
    out.set_item("covariance", column(p * p, |r| r.covariance.clone()).into_pyarray(py))?;
    out.set_item("loglik", column(1, |r| vec![r.loglik]).into_pyarray(py))?;
    out.set_item("state", found.iter().map(state).collect::<Vec<_>>())?;
    Ok(out)
}

/// Points of a profile as columns.
fn profiled(py: Python<'_>, profile: Profile) -> PyResult<Bound<'_, PyDict>> {
    let out = PyDict::new(py);
    let points = &profile.points;
    out.set_item("ending", points.iter().map(|p| p.ending.name()).collect::<Vec<_>>())?;
    out.set_item("value", points.iter().map(|p| p.value).collect::<Vec<_>>().into_pyarray(py))?;
    out.set_item("root", points.iter().map(|p| p.root).collect::<Vec<_>>().into_pyarray(py))?;
    let psi: Vec<f64> = points.iter().flat_map(|p| p.psi.iter().copied()).collect();
    out.set_item("parameters", psi.into_pyarray(py))?;
    out.set_item("evaluations", profile.evaluations)?;
    out.set_item("surface", profile.surface)?;
    Ok(out)
}

/// The numbers of a certificate, by name.
fn certificate(py: Python<'_>, c: Certificate) -> PyResult<Bound<'_, PyDict>> {
    let out = PyDict::new(py);
    out.set_item("method", c.method)?;
    out.set_item("units", c.units)?;
    out.set_item("checked", c.checked)?;
    out.set_item("nodes", (c.nodes[0], c.nodes[1], c.nodes[2]))?;
    out.set_item("loglik_error", c.loglik_error)?;
    out.set_item("laplace_error", c.laplace_error)?;
    out.set_item("bias", c.bias.into_pyarray(py))?;
    out.set_item("bias_se", c.bias_se.into_pyarray(py))?;
    out.set_item("effective_size", c.effective_size)?;
    out.set_item("runaway", c.runaway)?;
    Ok(out)
}
