//! Stopping: an engine ends where it is, and its next evaluation knows nothing of it.

mod common;

use std::sync::Arc;

use common::{Shape, evaluate, point, problem};
use glimm_core::control::{Control, Report};
use glimm_core::error::Error;
use glimm_core::fit::{Options, Problem};
use glimm_core::objective::block::Block;
use glimm_core::objective::crossed::{Crossed, Engine};
use glimm_core::objective::{Objective, Order, Reject};

fn check_stop(objective: &mut dyn Objective, psi: &[f64]) {
    let before = evaluate(objective, psi, Order::Hessian);
    let control = Arc::new(Control::default());
    objective.set_control(&control);
    control.stop();
    for order in [Order::Gradient, Order::Hessian] {
        assert_eq!(objective.evaluate(psi, order, 1e-10).unwrap_err(), Reject::Interrupted);
    }
    objective.set_control(&Arc::default());
    let after = evaluate(objective, psi, Order::Hessian);
    assert_eq!(before.value, after.value);
    assert_eq!(before.gradient, after.gradient);
    assert_eq!(before.hessian, after.hessian);
}

#[test]
fn a_stopped_evaluation_has_no_value_and_harms_no_later_one() {
    let crossed = problem("poisson", "log", Shape::CrossedSlopes, 3);
    check_stop(&mut Crossed::new(&crossed, Engine::Auto).unwrap(), &point(&crossed, 4));
    let slopes = problem("poisson", "log", Shape::Slope, 3);
    check_stop(&mut Block::new(&slopes), &point(&slopes, 4));
}

#[test]
fn a_fit_stops_at_the_next_report_and_can_be_run_again() {
    let data = problem("binomial", "logit", Shape::Crossed, 5);
    let mut problem = Problem::new(data, &Options::default()).unwrap();
    let control = Arc::new(Control::default());
    problem.set_control(&control);
    let mut seen = Vec::new();
    let stopped = problem.fit(None, &mut |stage, iteration, loglik, decrement| {
        seen.push(iteration);
        if iteration == 1 {
            control.stop();
        }
        control.tell(Report { stage, iteration, loglik, decrement })
    });
    assert_eq!(stopped.err(), Some(Error::Interrupted));
    assert_eq!(seen, [0, 1]);
    assert_eq!(control.latest().map(|r| r.iteration), Some(1));
    assert!(control.done() > 0);
    problem.set_control(&Arc::default());
    let again = problem.fit(None, &mut |_, _, _, _| true).unwrap();
    assert!(again.verdict.converged);
}
