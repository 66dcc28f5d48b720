from sandboxkit.testing import ContractSuite


class TestThin(ContractSuite):
    provider = "thin"
    rests_on = ("local",)
