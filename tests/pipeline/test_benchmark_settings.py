"""A quick benchmark is a benchmark of few samples: what is given counts, and nothing else is another's."""

from agg2exp_core.pipeline.benchmark_settings import QUICK_METHODS, QUICK_METRICS, BenchmarkSettings


def settings(**given):
    return BenchmarkSettings(store="store", model="thorax_phantom", **given)


def test_a_quick_benchmark_has_few_samples_and_a_small_reference():
    quick = settings(quick=True)
    quick.check()
    assert [method.params for method in quick.judged] == list(QUICK_METHODS.values())
    assert {choice.name: choice.params for choice in quick.choices} == QUICK_METRICS
    assert quick.explained == quick.judged  # the reference method is among those that are judged
    labels = {method.result_label for method in settings().explained}
    assert {method.result_label for method in quick.judged} & labels == {"vanilla_gradient"}


def test_what_is_given_counts():
    given = {"smoothgrad": {"n_samples": 9}, "kernelshap_semantic": {"n_samples": 80}}
    quick = settings(quick=True, methods=list(given), metrics=["deletion"], method_params=given)
    assert [method.params for method in quick.judged] == list(given.values())
    assert [choice.params for choice in quick.choices] == [{}]
