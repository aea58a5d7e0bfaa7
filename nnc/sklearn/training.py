"""The solvers: sgd and adam, with all that happens between two epochs, and L-BFGS on the loss of all examples."""

import warnings

import numpy as np
import scipy.optimize
from scipy import sparse
from sklearn.base import is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

from . import dense, sparse_rows
from .optimizers import AdamOptimizer, SGDOptimizer
from .threads import one_blas_thread, share_of_the_cores

# ---- sgd and adam ----------------------------------------------------------------------------------------------------


def by_steps(estimator, X, target, y, weight, incremental, validation):
    """Train with sgd or adam. `target` is y encoded for the net, (r,) or (r, n); `validation` a pair (X, y) or None."""
    estimator.loss_curve_ = [*estimator.loss_curve_]  # a copy: an error leaves the old list unchanged
    if not incremental or not hasattr(estimator, "_optimizer"):
        estimator._optimizer = _optimizer(estimator)
    X, target, weight, validation = _split(estimator, X, target, y, weight, validation)
    if validation:
        estimator.validation_scores_ = [*(estimator.validation_scores_ or ())]
    max_iter = 1 if incremental else estimator.max_iter
    order = np.arange(X.shape[0])
    bar = _progress_bar(max_iter) if estimator.progress_bar and not incremental else None
    estimator.n_iter_ = 0
    kind = sparse_rows if sparse.issparse(X) else dense
    epochs = kind.Epochs(estimator, X, target, weight, _batch_size(estimator, len(order)))
    try:
        with share_of_the_cores():
            for epoch in range(max_iter):
                if estimator.shuffle:
                    order = _shuffled(order, estimator._random_state)
                estimator.loss_ = epochs.run(order)
                estimator.n_iter_ += 1
                estimator.t_ += len(order)
                estimator.loss_curve_.append(estimator.loss_)
                if estimator.verbose:
                    print(f"Iteration {estimator.n_iter_}, loss = {estimator.loss_:.8f}")
                _update_progress(estimator, validation)
                estimator._optimizer.iteration_ends(estimator.t_)
                if bar is not None:
                    bar.set_postfix_str(_last(estimator, validation))
                    bar.update()
                if _no_more_progress(estimator) or _should_stop(estimator, epoch):
                    break
                if not incremental and estimator.n_iter_ == max_iter:
                    warnings.warn(
                        f"Stochastic Optimizer: Maximum iterations ({max_iter}) reached and the optimization hasn't"
                        " converged yet.",
                        ConvergenceWarning,
                        stacklevel=5,
                    )
    except KeyboardInterrupt:
        warnings.warn("Training interrupted by user.", stacklevel=5)
    finally:
        epochs.close()
        if bar is not None:
            bar.close()
    if estimator.early_stopping and estimator._best is not None:
        estimator.coefs_, estimator.intercepts_ = (_copies(arrays) for arrays in estimator._best)


def _optimizer(estimator):
    parameters = [*estimator.coefs_, *estimator.intercepts_]
    if estimator.solver == "adam":
        return AdamOptimizer(
            parameters, estimator.learning_rate_init, estimator.beta_1, estimator.beta_2, estimator.epsilon
        )
    return SGDOptimizer(
        parameters, estimator.learning_rate_init, estimator.learning_rate, estimator.momentum,
        estimator.nesterovs_momentum, estimator.power_t,
    )  # fmt: skip


def _split(estimator, X, target, y, weight, validation):
    """(X, target, weight) to train on, and (X, y, weight) to validate on, or None.

    Early stopping holds out a part, drawn as scikit-learn draws it: stratified if there are two classes.
    """
    if validation is not None:
        if estimator.early_stopping and len(validation[1]) < 2:
            raise ValueError("validation_data: early_stopping needs at least two examples.")
        return X, target, weight, (*validation, None)
    if not estimator.early_stopping:
        return X, target, weight, None
    is_stratified = is_classifier(estimator) and estimator.n_outputs_ == 1
    train, held_out = train_test_split(
        np.arange(X.shape[0]), random_state=estimator._random_state, test_size=estimator.validation_fraction,
        stratify=target if is_stratified else None,
    )  # fmt: skip
    if len(held_out) < 2:
        raise ValueError("The validation set is too small. Increase 'validation_fraction' or the size of your dataset.")
    of_train, of_held_out = (None if weight is None else weight[part] for part in (train, held_out))
    return X[train], target[train], of_train, (X[held_out], y[held_out], of_held_out)


def _batch_size(estimator, r):
    if estimator.batch_size == "auto":
        return min(200, r)
    if estimator.batch_size > r:
        warnings.warn(
            "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped", stacklevel=6
        )
    return min(estimator.batch_size, r)


def _shuffled(order, random_state):
    """The same permutation as that of `sklearn.utils.shuffle`."""
    where = np.arange(len(order))
    random_state.shuffle(where)
    return order[where]


def _update_progress(estimator, validation):
    """Record the validation score, the best weights, and whether there was progress."""
    if validation:
        score = estimator._validation_score(*validation)
        estimator.validation_scores_.append(score)
        if estimator.verbose:
            print(f"Validation score: {score:f}")
    if estimator.early_stopping:
        worse = score < estimator.best_validation_score_ + estimator.tol
        if score > estimator.best_validation_score_:
            estimator.best_validation_score_ = score
            estimator._best = _copies(estimator.coefs_), _copies(estimator.intercepts_)
    else:
        worse = estimator.loss_ > estimator.best_loss_ - estimator.tol
        estimator.best_loss_ = min(estimator.best_loss_, estimator.loss_)
    estimator._no_improvement_count = estimator._no_improvement_count + 1 if worse else 0


def _copies(arrays):
    return [array.copy(order="K") for array in arrays]


def _no_more_progress(estimator):
    if estimator._no_improvement_count <= estimator.n_iter_no_change:
        return False
    what = "Validation score" if estimator.early_stopping else "Training loss"
    message = (
        f"{what} did not improve more than tol={estimator.tol:f} for {estimator.n_iter_no_change} consecutive epochs."
    )
    if estimator._optimizer.trigger_stopping(message, estimator.verbose):
        return True
    estimator._no_improvement_count = 0
    return False


def _should_stop(estimator, epoch):
    """Only True stops the training: many callbacks return something else without meaning to stop it."""
    stop = None if estimator.callback is None else estimator.callback(epoch, estimator)
    return isinstance(stop, (bool, np.bool_)) and bool(stop)


def _last(estimator, validation):
    score = f", score {estimator.validation_scores_[-1]:.4f}" if validation else ""
    return f"loss {estimator.loss_:.4f}{score}"


def _progress_bar(total):
    from tqdm.auto import tqdm

    return tqdm(total=total, unit="epoch")


# ---- L-BFGS ----------------------------------------------------------------------------------------------------------


def by_lbfgs(estimator, X, target, weight, validation):
    """Train with SciPy's L-BFGS-B, on one vector of all parameters in their dtype."""
    dtype = estimator.coefs_[0].dtype
    kind = sparse_rows if sparse.issparse(X) else dense
    loss = kind.WholeLoss(estimator, X, target, weight)
    bar = _progress_bar(estimator.max_iter) if estimator.progress_bar else None
    estimator.n_iter_ = 0
    stopped = False
    if validation is not None:
        estimator.validation_scores_ = []

    def set_weights(x, J):
        coefs, intercepts = loss.arrays(x)
        estimator.coefs_ = [np.array(coef, dtype, order="K") for coef in coefs]
        estimator.intercepts_ = [np.array(intercept, dtype) for intercept in intercepts]
        estimator.loss_ = float(J)

    def iteration_ended(intermediate_result):
        nonlocal stopped
        estimator.n_iter_ += 1
        if estimator.verbose:
            print(f"Iteration {estimator.n_iter_}, loss = {intermediate_result.fun:.8f}")
        if validation is None and estimator.callback is None and bar is None:
            return
        set_weights(intermediate_result.x, intermediate_result.fun)
        if validation is not None:
            estimator.validation_scores_.append(estimator._validation_score(*validation))
        if bar is not None:
            bar.set_postfix_str(_last(estimator, validation))
            bar.update()
        stopped = _should_stop(estimator, estimator.n_iter_ - 1)
        if stopped:
            raise StopIteration

    try:
        with share_of_the_cores(), one_blas_thread(loss.start.size):
            result = scipy.optimize.minimize(
                loss, loss.start, method="L-BFGS-B", jac=True, callback=iteration_ended,
                options={"maxfun": estimator.max_fun, "maxiter": estimator.max_iter, "gtol": estimator.tol},
            )  # fmt: skip
    finally:
        if bar is not None:
            bar.close()
    if result.status != 0 and not stopped:
        warnings.warn(
            f"lbfgs failed to converge after {result.nit} iteration(s) (status={result.status}): {result.message}. "
            "Increase max_iter or max_fun, or scale the data.",
            ConvergenceWarning,
            stacklevel=5,
        )
    estimator.n_iter_ = min(result.nit, estimator.max_iter)
    set_weights(result.x, result.fun)
