package pocketgan.effects

/** What keeps an effect from being used: one line that says what is wrong, and what to do where something can be done. */
open class EffectException @JvmOverloads constructor(message: String, cause: Throwable? = null) :
    Exception(message, cause)

/** A bundle that is whole, but that the app does not trust: unsigned, signed by another key, or older. */
class NotTrustedException(message: String) : EffectException(message)
