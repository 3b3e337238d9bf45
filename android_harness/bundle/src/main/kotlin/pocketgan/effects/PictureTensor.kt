package pocketgan.effects

import pocketgan.bundle.ColourSpace
import pocketgan.bundle.DType
import pocketgan.bundle.Layout
import pocketgan.bundle.TensorSpec
import pocketgan.measure.PictureConverter
import pocketgan.measure.Tensor
import pocketgan.measure.needsConversion

/** From a picture to the tensor of a contract and back: its layout, its type of numbers, its values of black and white. */
internal class PictureTensor(private val spec: TensorSpec) {
    val height: Int
    val width: Int
    private val converter = if (needsConversion(spec)) PictureConverter(spec) else null

    init {
        val side = if (spec.layout == Layout.NCHW) 2 else 1
        height = Math.toIntExact(spec.shape[side])
        width = Math.toIntExact(spec.shape[side + 1])
    }

    private val pixels = height * width
    private val black = spec.valueRange?.get(0) ?: 0.0
    private val white = spec.valueRange?.get(1) ?: 1.0

    /** Fill [tensor], which is of the contract. */
    fun write(picture: Pixels, tensor: Tensor) {
        if (converter != null) return converter.toTensor(picture.bytes, tensor.data.asFloatBuffer())
        if (spec.dtype == DType.UINT8) {
            each { inPicture, inTensor -> tensor.data.put(inTensor, picture.bytes[inPicture]) }
            return
        }
        val values = Tensor.zeros(DType.FLOAT32, tensor.shape)
        val scale = ((white - black) / 255).toFloat()
        each { inPicture, inTensor ->
            values.data.putFloat(4 * inTensor, (picture.bytes[inPicture].toInt() and 0xff) * scale + black.toFloat())
        }
        val typed = values.cast(spec.dtype).data
        for (at in 0 until tensor.size * spec.dtype.bytes) tensor.data.put(at, typed[at])
    }

    /** Fill [picture]; values outside of black and white are clipped. */
    fun read(tensor: Tensor, picture: Pixels) {
        if (tensor.dtype != spec.dtype) {
            throw EffectException("the model gives ${tensor.dtype} where its contract says ${spec.dtype}".lowercase())
        }
        if (converter != null) return converter.toPicture(tensor.data.asFloatBuffer(), picture.bytes)
        if (spec.dtype == DType.UINT8) {
            each { inPicture, inTensor -> picture.bytes[inPicture] = tensor.data[inTensor] }
            return
        }
        val levels = (255 / (white - black)).toFloat()
        each { inPicture, inTensor ->
            val level = (tensor[inTensor].toFloat() - black.toFloat()) * levels + 0.5f
            picture.bytes[inPicture] = level.coerceIn(0f, 255f).toInt().toByte()
        }
    }

    private inline fun each(visit: (inPicture: Int, inTensor: Int) -> Unit) {
        val planar = spec.layout == Layout.NCHW
        for (pixel in 0 until pixels) {
            for (channel in 0 until 3) {
                val place = 3 * pixel + channel
                visit(place, if (planar) channel * pixels + pixel else place)
            }
        }
    }
}

/** Why the tensor holds no picture; null where it does. */
internal fun whyNoPicture(spec: TensorSpec): String? {
    val channels = spec.shape.getOrNull(if (spec.layout == Layout.NCHW) 1 else 3)
    return when {
        spec.layout == null || spec.colourSpace != ColourSpace.RGB -> "${spec.name} is no RGB picture"
        spec.shape.size != 4 || spec.shape[0] != 1L || channels != 3L ->
            "${spec.name} has shape ${spec.shape}, which is not one picture of three channels"
        spec.dtype !in setOf(DType.FLOAT32, DType.FLOAT16, DType.UINT8) ->
            "${spec.name} holds ${spec.dtype.name.lowercase()}, which no picture does"
        else -> null
    }
}
