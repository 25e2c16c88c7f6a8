//! Generalized estimating equations: data held in Rust, sorted by cluster.

use glimm_core::control::Control;
use glimm_core::error::Error;
use glimm_core::gee::working::{Covariate, Extent, lookup};
use glimm_core::gee::{
    Data, Freedom, Kind, Options, Places, Scale, Source, State, Task, Working, contributions, without_each,
};
use numpy::{IntoPyArray, PyArray1};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::convert::{Codes, FamilyName, Matrix, Vector, family_of, vector};
use crate::seam::{enter, raise};
use crate::threads::Threads;

/// (coefficients, scale, correlations).
type StateArrays = (Vec<f64>, Vec<f64>, Vec<f64>);
/// (size, matrix row by row, covariates of pairs, whether bounded, whether times are whole).
type ExtentParts = (usize, Vec<f64>, Vec<(String, usize)>, bool, bool);

#[pyclass(module = "glimm._core", frozen)]
pub struct Gee {
    data: Data,
    working: Box<dyn Working>,
    threads: Threads,
}

fn table(m: &Matrix<'_>) -> (Vec<f64>, usize) {
    let m = m.as_array();
    let (n, p) = m.dim();
    let mut out = vec![0.0; n * p];
    for (j, column) in m.columns().into_iter().enumerate() {
        out[j.min(n * p)..].iter_mut().step_by(p.max(1)).zip(column).for_each(|(to, from)| *to = *from);
    }
    (out, p)
}

impl Gee {
    fn task<'a>(&'a self, control: &'a Control) -> Task<'a> {
        Task { data: &self.data, working: self.working.as_ref(), control, skip: None }
    }

    fn state(&self, (beta, scale, alpha): StateArrays) -> State {
        State { beta: self.data.standard.to_standard(&beta), scale, alpha }
    }

    fn run<'py>(
        &self,
        py: Python<'py>,
        work: impl Send + FnOnce(&Task<'_>) -> Result<Vec<f64>, Error>,
    ) -> PyResult<Bound<'py, PyArray1<f64>>> {
        let found = enter(py, self.threads, None, |control| work(&self.task(control)))?;
        Ok(found.into_pyarray(py))
    }
}

fn options(scale: Option<f64>, less: bool, iterations: usize, tolerance: f64) -> Options {
    Options { scale: scale.map_or(Scale::Estimated, Scale::Fixed), less, iterations, tolerance }
}

#[pymethods]
impl Gee {
    #[new]
    #[pyo3(signature = (
        family, extra, y, size, classes, x, offset, precision, weights, copies, groups, clusters, structure, extent,
        time=None, place=None, sub=None, columns=None, scale=None, threads=None
    ))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        py: Python<'_>,
        family: FamilyName,
        extra: Vec<f64>,
        y: Vector<'_>,
        size: Option<Vector<'_>>,
        classes: usize,
        x: Matrix<'_>,
        offset: Option<Vector<'_>>,
        precision: Option<Vector<'_>>,
        weights: Option<Vector<'_>>,
        copies: Option<Vector<'_>>,
        groups: Codes<'_>,
        clusters: usize,
        structure: &str,
        extent: ExtentParts,
        time: Option<Vector<'_>>,
        place: Option<Codes<'_>>,
        sub: Option<Codes<'_>>,
        columns: Option<Matrix<'_>>,
        scale: Option<Matrix<'_>>,
        threads: Option<usize>,
    ) -> PyResult<Gee> {
        let maybe = |v: &Option<Vector<'_>>| v.as_ref().map(vector);
        let (n, p) = x.as_array().dim();
        let mut columns_of_x = Vec::with_capacity(n * p);
        x.as_array().columns().into_iter().for_each(|column| columns_of_x.extend(column));
        let (columns, width) = columns.as_ref().map_or((Vec::new(), 0), table);
        let places = Places {
            time: maybe(&time).unwrap_or_default(),
            place: place.as_ref().map(Codes::read).unwrap_or_default(),
            sub: sub.as_ref().map(Codes::read).unwrap_or_default(),
            columns,
            width,
        };
        let source = Source {
            family: family_of(&family).map_err(raise)?,
            extra,
            y: vector(&y),
            size: maybe(&size),
            classes,
            x: columns_of_x,
            p,
            offset: maybe(&offset),
            precision: maybe(&precision),
            weights: maybe(&weights),
            copies: maybe(&copies),
            codes: groups.read(),
            clusters,
            places,
            scale: scale.as_ref().map(table),
        };
        let (size, matrix, covariates, bounded, whole) = extent;
        let covariates = covariates.iter().filter_map(|(name, column)| Covariate::parse(name, *column)).collect();
        let working = lookup(structure, Extent { size, matrix, covariates, bounded, whole }).map_err(raise)?;
        let threads = Threads::for_rows(source.y.len(), threads)?;
        let data = enter(py, threads, None, |_| Data::new(source))?;
        Ok(Gee { data, working, threads })
    }

    /// Columns of X that are estimated.
    #[getter]
    fn kept(&self) -> Vec<usize> {
        self.data.standard.kept.clone()
    }

    /// Solves the equations.
    #[pyo3(signature = (scale, less, iterations, tolerance, start=None))]
    fn fit<'py>(
        &self,
        py: Python<'py>,
        scale: Option<f64>,
        less: bool,
        iterations: usize,
        tolerance: f64,
        start: Option<StateArrays>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let start = start.map(|s| self.state(s));
        let options = options(scale, less, iterations, tolerance);
        let found = enter(py, self.threads, None, |control| self.task(control).fit(&options, start.as_ref()))?;
        let out = PyDict::new(py);
        let standard = &self.data.standard;
        out.set_item("beta", standard.to_user(&found.state.beta).into_pyarray(py))?;
        out.set_item("scale", found.state.scale.into_pyarray(py))?;
        out.set_item("alpha", found.state.alpha.into_pyarray(py))?;
        out.set_item("covariance", standard.covariance_to_user(&found.covariance).into_pyarray(py))?;
        out.set_item("pairs", found.pairs.into_pyarray(py))?;
        out.set_item("iterations", found.iterations)?;
        out.set_item("converged", found.converged)?;
        out.set_item("left", found.left)?;
        Ok(out)
    }

    /// A covariance of the coefficients (p x p, row by row).
    fn covariance<'py>(&self, py: Python<'py>, state: StateArrays, kind: &str) -> PyResult<Bound<'py, PyArray1<f64>>> {
        let (state, kind) = (self.state(state), Kind::parse(kind).map_err(raise)?);
        self.run(py, |task| task.covariance(&state, kind))
    }

    /// Degrees of freedom of contrasts (m x p, row by row).
    fn freedom<'py>(
        &self,
        py: Python<'py>,
        state: StateArrays,
        kind: &str,
        freedom: &str,
        contrasts: Vec<f64>,
    ) -> PyResult<Bound<'py, PyArray1<f64>>> {
        let state = self.state(state);
        let (kind, freedom) = (Kind::parse(kind).map_err(raise)?, Freedom::parse(freedom).map_err(raise)?);
        self.run(py, |task| task.freedom(&state, kind, freedom, &contrasts))
    }

    /// What each cluster adds to the equations of the mean (clusters x p, row by row).
    fn scores<'py>(&self, py: Python<'py>, state: StateArrays) -> PyResult<Bound<'py, PyArray1<f64>>> {
        let state = self.state(state);
        self.run(py, |task| task.scores(&state))
    }

    /// What each cluster adds to the equations of scale and correlation.
    fn moments<'py>(&self, py: Python<'py>, state: StateArrays) -> PyResult<Bound<'py, PyArray1<f64>>> {
        let state = self.state(state);
        self.run(py, |task| contributions(task, &task.rows(&state)?, &state))
    }

    /// Estimates without each cluster in turn (clusters x p, row by row), and whether all converged.
    fn without_each<'py>(
        &self,
        py: Python<'py>,
        state: StateArrays,
        scale: Option<f64>,
        less: bool,
        iterations: usize,
        tolerance: f64,
    ) -> PyResult<(Bound<'py, PyArray1<f64>>, bool)> {
        let (state, options) = (self.state(state), options(scale, less, iterations, tolerance));
        let work = |control: &Control| without_each(&self.data, self.working.as_ref(), &options, &state, control);
        let (found, converged) = enter(py, self.threads, None, |control| work(control))?;
        let p = self.data.width().max(1);
        let user: Vec<f64> = found.chunks_exact(p).flat_map(|beta| self.data.standard.to_user(beta)).collect();
        Ok((user.into_pyarray(py), converged))
    }
}
