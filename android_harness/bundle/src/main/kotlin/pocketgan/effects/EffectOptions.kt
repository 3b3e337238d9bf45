package pocketgan.effects

import java.util.Base64
import pocketgan.ed25519.PUBLIC_KEY_BYTES

/** What precedes the 32 bytes of an Ed25519 key in a SubjectPublicKeyInfo (RFC 8410, section 4). */
private val SPKI_PREFIX = byteArrayOf(0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00)

/** More threads than fast cores make a model slower; most phones have four or more fast ones. */
private const val MOST_THREADS = 4

/**
 * What an app trusts, and how its effects are computed.
 *
 * @param publicKey the Ed25519 key that bundles are signed by: PEM, as `openssl pkey -pubout` writes it, or base64 of
 *   its 32 bytes. Without one nothing can be trusted, and only [allowUnsigned] lets bundles in.
 * @property allowUnsigned takes bundles without a signature. One by another key than [publicKey] stays refused.
 * @property allowOlder takes a bundle again that was installed before and then replaced by another.
 * @property threads that a processor's model computes with.
 * @throws IllegalArgumentException it is no Ed25519 key, or there are no threads.
 */
class EffectOptions @JvmOverloads constructor(
    publicKey: String?,
    val allowUnsigned: Boolean = false,
    val allowOlder: Boolean = false,
    val threads: Int = Runtime.getRuntime().availableProcessors().coerceAtMost(MOST_THREADS),
) {
    internal val key: ByteArray? = publicKey?.let(::rawKey)

    init {
        require(threads >= 1) { "threads: $threads; a model needs at least 1" }
    }
}

private fun rawKey(text: String): ByteArray {
    val base64 = text.lineSequence().filterNot { it.startsWith("-----") }.joinToString("").filterNot { it.isWhitespace() }
    val bytes = try {
        Base64.getDecoder().decode(base64)
    } catch (error: IllegalArgumentException) {
        throw IllegalArgumentException("the public key is neither PEM nor base64", error)
    }
    if (bytes.size == PUBLIC_KEY_BYTES) return bytes
    val spki = bytes.size == SPKI_PREFIX.size + PUBLIC_KEY_BYTES && SPKI_PREFIX.indices.all { bytes[it] == SPKI_PREFIX[it] }
    require(spki) { "the public key is no Ed25519 key; make one with: openssl genpkey -algorithm ed25519" }
    return bytes.copyOfRange(SPKI_PREFIX.size, bytes.size)
}
