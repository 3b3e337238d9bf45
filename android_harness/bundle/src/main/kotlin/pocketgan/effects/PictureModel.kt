package pocketgan.effects

import java.io.Closeable
import java.util.Locale
import pocketgan.measure.LoadedModel
import pocketgan.measure.ModelPlan
import pocketgan.measure.Tensor
import pocketgan.measure.WrongOutputException
import pocketgan.measure.agreement

/** A loaded entry that turns pictures into pictures. Not for two threads at once. */
internal class PictureModel(private val plan: ModelPlan, private val model: LoadedModel) : Closeable {
    private val into = PictureTensor(plan.inputs.single().spec)
    private val outOf = PictureTensor(plan.outputs.single().spec)
    private val golden = plan.inputs.single().let { it.golden.cast(it.spec.dtype) }
    private val input = plan.inputs.single().let { Tensor.zeros(it.spec.dtype, it.golden.shape) }

    val height: Int get() = into.height
    val width: Int get() = into.width

    /** What [run] fills. */
    fun newOutput() = Pixels(outOf.height, outOf.width)

    /** The golden input as a picture: what is timed. */
    fun goldenPicture() = Pixels(height, width).also { into.read(golden, it) }

    /**
     * Run once on the golden input.
     *
     * @throws WrongOutputException what comes out is not the golden output.
     */
    fun mustBeRight() {
        val parity = agreement(infer(golden), plan.outputs.map { it.golden }, plan.outputs.map { it.spec.valueRange })
        val db = parity.psnrDb ?: return
        if (db >= plan.floorDb) return
        val line = "wrong output: %.1f dB from the golden output, %.1f dB is the floor"
        throw WrongOutputException(String.format(Locale.ROOT, line, db, plan.floorDb))
    }

    /** One edit, from picture to picture. */
    fun run(picture: Pixels, made: Pixels) {
        into.write(picture, input)
        outOf.read(infer(input).single(), made)
    }

    private fun infer(tensor: Tensor): List<Tensor> {
        val inputs = mapOf(plan.inputs.single().spec.name to tensor)
        repeat(plan.repeat - 1) { model.run(inputs) }
        return model.run(inputs)
    }

    override fun close() = model.close()
}
