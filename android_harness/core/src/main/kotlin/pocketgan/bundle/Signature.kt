package pocketgan.bundle

import java.nio.charset.CharacterCodingException
import java.util.Base64
import kotlinx.serialization.json.JsonElement
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.JsonPrimitive
import pocketgan.ed25519.Ed25519
import pocketgan.ed25519.PUBLIC_KEY_BYTES
import pocketgan.ed25519.SIGNATURE_BYTES
import pocketgan.json.JsonProblem
import pocketgan.json.StrictJson

internal const val MAX_SIGNATURE_BYTES = 16 shl 10
private const val ALGORITHM = "Ed25519"
private val BASE64 = Regex("(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")

/**
 * What a bundle's signature says: [signed] if there is one, by which key (base64), and what is wrong with it.
 * An unsigned bundle is a problem only where a key is expected.
 */
data class SignatureState(val signed: Boolean, val publicKey: String? = null, val problem: String? = null) {
    /** Signed, by the expected key if one was given, and the manifest is unchanged since. */
    val isValid: Boolean get() = signed && problem == null
}

/**
 * What `signature.json` says about `manifest.json`; hostile bytes are a problem, never an exception.
 *
 * @param expected the raw public key (32 bytes) that it must be from, null for any.
 */
fun judgeSignature(manifest: ByteArray, signature: ByteArray?, expected: ByteArray? = null): SignatureState {
    if (signature == null) {
        val problem = "is not signed, but a key is expected".takeIf { expected != null }
        return SignatureState(signed = false, problem = problem)
    }
    val (publicKey, value) = try {
        parse(signature)
    } catch (damage: DamageException) {
        return SignatureState(signed = true, problem = "$SIGNATURE is damaged: ${damage.message}")
    }
    val shown = Base64.getEncoder().encodeToString(publicKey)
    val problem = when {
        expected != null && !publicKey.contentEquals(expected) -> "is signed by another key ($shown)"
        !Ed25519.verify(publicKey, manifest, value) -> "$SIGNATURE is not of this manifest"
        else -> null
    }
    return SignatureState(signed = true, publicKey = shown, problem = problem)
}

/** Raw public key and signature; DamageException for anything but the three fields as they should be. */
private fun parse(data: ByteArray): Pair<ByteArray, ByteArray> {
    val value = readJson(data) as? JsonObject
    if (value == null || value.keys != setOf("algorithm", "public_key", "signature")) {
        throw DamageException("it has to hold algorithm, public_key and signature")
    }
    if (value["algorithm"] != JsonPrimitive(ALGORITHM)) throw DamageException("its algorithm is not $ALGORITHM")
    val publicKey = decoded(value["public_key"], PUBLIC_KEY_BYTES)
    if (Ed25519.isWeak(publicKey)) throw DamageException("its key is one that everybody can sign for")
    return publicKey to decoded(value["signature"], SIGNATURE_BYTES)
}

private fun readJson(data: ByteArray): JsonElement =
    try {
        StrictJson(utf8(data), strict = false).read().value
    } catch (problem: JsonProblem) {
        throw DamageException("${problem.message}")
    } catch (error: CharacterCodingException) {
        throw DamageException("not UTF-8")
    } catch (error: IllegalArgumentException) {
        throw DamageException("${error.message}")
    }

private fun decoded(value: JsonElement?, length: Int): ByteArray {
    val text = (value as? JsonPrimitive)?.takeIf { it.isString }?.content
        ?: throw DamageException("it holds something other than text")
    if (text.any { it.code > 0x7f }) throw DamageException("string argument should contain only ASCII characters")
    // Java's own decoder takes text without its padding.
    if (!BASE64.matches(text)) throw DamageException("it holds text that is not base64")
    val bytes = Base64.getDecoder().decode(text)
    if (bytes.size != length) throw DamageException("it holds ${bytes.size} bytes where $length belong")
    return bytes
}
