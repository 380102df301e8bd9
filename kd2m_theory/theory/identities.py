"""Every identity the toolkit proves, in the order in which `kd2m theory check` lists them."""

from kd2m_theory.theory import identities_entropy, identities_gaussian, identities_kernel, identities_loss

IDENTITIES = (
    *identities_entropy.IDENTITIES,
    *identities_gaussian.IDENTITIES,
    *identities_kernel.IDENTITIES,
    *identities_loss.IDENTITIES,
)
